"""Decode .dfm files to images, at any size, or a part of them.

Decodes files that `dfm compress` wrote. One file is decoded to the image OUT; several, or
folders of them, to NAME.png each in the folder OUT. An image keeps the levels it had (8 or
16 bits). It is a function of the position, so any size can be asked for: --scale 2 has twice
the pixels each way, computed and not interpolated.

A damaged file is named in one line, the others are decoded, and the exit code is 2.
"""

import argparse
import re
import sys
from pathlib import Path

from dfm_flax.commands.arguments import positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="or folders of them")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="OUT")
    parser.add_argument("--scale", type=positive, default=1.0, metavar="S", help="of each side")
    parser.add_argument(
        "--region",
        type=_region,
        metavar="X,Y,W,H",
        help="only these pixels of the scaled image: left, top, width, height",
    )


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.codec import container
    from dfm_flax.codec.decoder import decompress
    from dfm_flax.errors import DfmError

    files = container.find_files(options.files)
    single = len(files) == 1 and not options.files[0].is_dir() and options.out.suffix
    code = 0
    for file in files:
        out = options.out if single else options.out / f"{file.stem}.png"
        try:
            decompress(file, out, options.scale, options.region)
        except DfmError as error:
            print(f"dfm: {error}", file=sys.stderr)
            code = error.exit_code
            continue
        print(out)
    return code


def _region(text: str) -> tuple[int, int, int, int]:
    if not re.fullmatch(r"\d+,\d+,\d+,\d+", text):
        raise argparse.ArgumentTypeError(f"{text} is not X,Y,W,H, like 0,0,200,100")
    left, top, width, height = map(int, text.split(","))
    return left, top, width, height
