"""Say what is in .dfm files.

Prints a row for each file: the image's size, the machine (layers, width, largest
frequencies), its weights, bytes, bits per pixel, bits per weight and percent of the raw image.
--layers prints what each group of weights takes: its frequency, step size, largest integer
and bits per weight.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="or folders of them")
    parser.add_argument("--layers", action="store_true", help="the groups of weights, too")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.codec import container, summary
    from dfm_flax.reports.tables import print_table

    files = container.find_files(options.files)
    images = [container.read(file) for file in files]
    print_table(
        [
            summary.of_file(file, image, file.stat().st_size)
            for file, image in zip(files, images, strict=True)
        ]
    )
    if options.layers:
        for file, image in zip(files, images, strict=True):
            print(f"\n{file}")
            print_table(summary.of_groups(image))
    return 0
