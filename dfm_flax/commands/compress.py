"""Compress images to .dfm files of a given size or quality.

An image becomes a pyramid of small grids of whole numbers, and two small Fourier machines: one
draws a pixel from the grids, the other predicts their numbers, so that they take few bits. All
of it is trained for the image. --bpp is met from below within a few percent; --psnr takes the
smallest file found of at least that quality, and says where it was not reached (exit code 1).
Files of a few hundred bytes are a machine of the position alone (--method machine).

input: files of any format that Pillow reads, folders, and sample:NAME, as in `dfm train`. One
  image is written to OUT.dfm, or any number to NAME.dfm each in the folder OUT. Of several, one
  that cannot be read or is too small is named in one line, the others are done, and the exit
  code is 1.

Longer training is better: --effort 3 for a look, 6 and more for what counts. With --workdir an
interrupted command goes on where it was. `dfm decompress` decodes the files in a second.
"""

import argparse
import sys

from dfm_flax.commands.arguments import add_max_pixels, add_out, count, path, positive, seed
from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="or folders of images")
    add_out(parser, help="NAME.dfm, or a folder")
    goal = parser.add_mutually_exclusive_group()
    goal.add_argument(
        "--bpp", type=positive, metavar="B", help="bits per pixel, at most (default: 0.3)"
    )
    goal.add_argument("--psnr", type=positive, metavar="DB", help="quality, at least")
    goal.add_argument(
        "--percent", type=positive, metavar="P", help="of the raw image's size, at most"
    )
    parser.add_argument(
        "--effort", type=count, default=5, metavar="N", help="from 1 to 9 (default: 5)"
    )
    parser.add_argument(
        "--steps", type=count, metavar="N", help="of training, instead of those of the effort"
    )
    parser.add_argument(
        "--method", choices=("grids", "machine"), help="by default what is better at the size"
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="of training (default: 0)"
    )
    parser.add_argument("--workdir", type=path, metavar="DIR", help="keeps checkpoints there")
    add_max_pixels(parser)


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.codec.container import SUFFIX
    from dfm_flax.codec.encoder import encode
    from dfm_flax.codec.goal import Goal
    from dfm_flax.commands.failures import Failures
    from dfm_flax.data.image_files import image_name, list_files
    from dfm_flax.outputs import Outputs
    from dfm_flax.reports.tables import print_table

    given = {key: getattr(options, key) for key in ("bpp", "psnr", "percent")}
    if not any(given.values()):
        given["bpp"] = 0.3
    goal = Goal(**given)
    files = list_files(options.images)
    ledger = options.workdir and options.workdir / "written.json"
    outputs = Outputs(options.out, options.overwrite, files, ledger)
    outs = outputs.each([image_name(file) for file in files], SUFFIX)
    failures = Failures(len(files))
    results = encode(
        files,
        outs,
        goal,
        options.steps,
        options.workdir,
        options.seed,
        effort=options.effort,
        method=options.method,
        failed=failures.tell,
        written=outputs.written,
    )
    left_out = ("image", "reached")
    if results:
        print_table([{k: v for k, v in entry.items() if k not in left_out} for entry in results])
    missed = [entry for entry in results if not entry["reached"]]
    for entry in missed:
        print(
            f"dfm: {printable(entry['image'])}: {entry['psnr']:.2f} dB, not the "
            f"{options.psnr:g} dB asked for; use more --effort",
            file=sys.stderr,
        )
    return 1 if missed else failures.exit_code
