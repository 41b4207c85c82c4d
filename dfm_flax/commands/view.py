"""Write an HTML page that draws a .dfm file or a run in the browser.

The page draws the machine itself, on the graphics card: drag to move, wheel to zoom, beyond the
pixels too. It needs no other file and no network. SOURCE is

  FILE.dfm       a compressed image; --original puts the photo beside it, with a divider
  RUN            the folder of a run: its pictures beside their originals, or, of a generator,
                 sliders along the latents' principal directions and new samples
  NAME.npz       a generator that `dfm export` wrote, or the name of one that ships, such as mnist
"""

import argparse

from dfm_flax.commands.arguments import add_max_pixels, add_out, outputs
from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a .dfm file, a run, or a generator")
    parser.add_argument("--original", metavar="IMAGE", help="what a .dfm file was made from")
    parser.add_argument(
        "--open", action="store_true", help="serve the page to the browser of this host"
    )
    add_out(parser, "view.html", help="an HTML file")
    add_max_pixels(parser)


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.viewer.contents import contents_of
    from dfm_flax.viewer.page import write_page

    read = filter(None, [options.source, options.original])
    out = outputs(options, read).one("view.html", {".html", ".htm"})
    write_page(out, contents_of(options.source, options.original))
    print(printable(out))
    if options.open:
        from dfm_flax.viewer.serving import open_page

        open_page(out)
    return 0
