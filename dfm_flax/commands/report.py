"""Compare .dfm files with JPEG, WebP, AVIF and JPEG XL on one HTML page.

Measures PSNR and MS-SSIM against bits per pixel of the .dfm files of images, and of the
encoders of other formats at full effort and many qualities, and writes one HTML page that
needs no other file: mean curves, BD-rates image by image, and pictures at equal size. Of several,
an image that cannot be read or has no .dfm file is named in one line and left out, and the exit
code is 1.

The files are those of `dfm compress`, a folder for each rate; curves need four:

  for r in 0.1 0.2 0.3 0.5; do dfm compress photos --bpp $r -o coded/$r; done
  dfm report photos --dfm coded/* -o report.html

AVIF at its slowest takes some minutes for an image. With --workdir the files of other formats are
kept: an interrupted command goes on where it was, and a later one has only the .dfm files to do.
"""

import argparse

from dfm_flax.commands.arguments import add_max_pixels, add_out, outputs, path
from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="originals, or folders of them")
    parser.add_argument(
        "--dfm", nargs="+", type=path, required=True, metavar="DIR", help="folders of .dfm files"
    )
    parser.add_argument(
        "--coin", type=path, metavar="FILE", help="of python -m dfm_flax.benchmarks.coin"
    )
    parser.add_argument(
        "--workdir", type=path, metavar="DIR", help="keeps the files of the other formats there"
    )
    add_out(parser, "report.html", help="an HTML file")
    add_max_pixels(parser)


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.codec.comparison import OURS, compare
    from dfm_flax.commands.failures import Failures
    from dfm_flax.data.image_files import list_files
    from dfm_flax.reports.page import bd_table, coin_table, published_table, write_page
    from dfm_flax.reports.tables import print_table

    files = list_files(options.images)
    read = [*files, *(file for folder in options.dfm for file in folder.glob("*")), options.coin]
    out = outputs(options, filter(None, read)).one("report.html", {".html", ".htm"})
    failures = Failures(len(files))
    comparisons = compare(files, options.dfm, options.coin, options.workdir, failures.tell)
    if not comparisons:
        return failures.exit_code
    write_page(out, comparisons, OURS)
    print("BD-rate of the .dfm files in percent (negative: smaller at equal PSNR)")
    print_table(bd_table(comparisons, OURS))
    against_published = published_table(comparisons, OURS)
    if against_published:
        print("BD-rate of their means to those published for all Kodak images")
        print_table(against_published)
    against_coin = coin_table(comparisons, OURS)
    if against_coin:
        print("the rate of the .dfm files at COIN's PSNR")
        print_table(against_coin)
    print(printable(out))
    return failures.exit_code
