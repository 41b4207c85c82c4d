"""Decode .dfm files to images, at any size, or a part of them.

Decodes files that `dfm compress` wrote. One file is decoded to the image OUT, or any number,
also folders of them, to NAME.png each in the folder OUT. An image keeps the levels it had (8 or
16 bits). It is a function of the position, so any size can be asked for: --scale 2 has twice
the pixels each way, computed and not interpolated.

Of several, a damaged file is named in one line, the others are decoded, and the exit code is 1.
"""

import argparse
import re

from dfm_flax.commands.arguments import add_out, outputs, positive
from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="or folders of them")
    add_out(parser, help="NAME.png or another image, or a folder")
    parser.add_argument("--scale", type=positive, default=1.0, metavar="S", help="of each side")
    parser.add_argument(
        "--region",
        type=_region,
        metavar="X,Y,W,H",
        help="only these pixels of the scaled image: left, top, width, height",
    )


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.codec.container import SUFFIX
    from dfm_flax.codec.decoder import decompress
    from dfm_flax.commands.failures import Failures
    from dfm_flax.data.image_files import image_name, list_files, writable_suffixes

    files = list_files(options.files, {SUFFIX}, f"{SUFFIX} files")
    names = [image_name(file) for file in files]
    outs = outputs(options, files).each(names, ".png", writable_suffixes())
    failures = Failures(len(files))
    for file, out in zip(files, outs, strict=True):
        with failures.of_one():
            decompress(file, out, options.scale, options.region)
            print(printable(out))
    return failures.exit_code


def _region(text: str) -> tuple[int, int, int, int]:
    if not re.fullmatch(r"\d+,\d+,\d+,\d+", text):
        raise argparse.ArgumentTypeError(f"{text} is not X,Y,W,H, like 0,0,200,100")
    left, top, width, height = map(int, text.split(","))
    return left, top, width, height
