"""Say what is in .dfm files.

Prints a row for each file: the image's size, how it is made (grids, or one machine of the
position), its weights, bytes, bits per pixel and percent of the raw image. --layers prints what
each grid and each group of weights takes: its step size, largest integer and bits. Of several, a
damaged file is named in one line, and the exit code is 1.
"""

import argparse
from pathlib import Path

from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="or folders of them")
    parser.add_argument("--layers", action="store_true", help="what is coded by itself, too")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.codec import container, summary
    from dfm_flax.commands.failures import Failures
    from dfm_flax.data.image_files import list_files
    from dfm_flax.reports.tables import print_table

    files = list_files(options.files, {container.SUFFIX}, f"{container.SUFFIX} files")
    failures = Failures(len(files))
    images, rows = {}, []
    for file in files:
        with failures.of_one():
            images[file] = container.read(file)
            rows.append(summary.of_file(file, images[file], Path(file).stat().st_size))
    if rows:
        print_table(rows)
    if options.layers:
        for file, image in images.items():
            print(f"\n{printable(file)}")
            print_table(summary.of_parts(image))
    return failures.exit_code
