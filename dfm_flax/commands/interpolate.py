"""Draw the way between two training images.

Draws images from the latent of one training image to that of another: along a great circle
about the mean of all latents, with even steps. --from and --to are places in the data set,
0 on. --out as in `dfm sample`; a picture holds all steps in one row.
"""

import argparse

from dfm_flax.commands.arguments import add_out, add_workdir, count, outputs, path, size, whole
from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--from", dest="first", type=whole, required=True, metavar="I")
    parser.add_argument("--to", dest="second", type=whole, required=True, metavar="J")
    parser.add_argument(
        "--steps", type=count, default=10, metavar="N", help="images, ends included; default: 10"
    )
    add_out(parser)
    parser.add_argument("--size", type=size, metavar="WIDTHxHEIGHT", help="in pixels; N for NxN")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.figures.image_output import claim_images, write_images
    from dfm_flax.runs import Run
    from dfm_flax.tasks import task_of

    outs = claim_images(outputs(options), options.steps)
    task = task_of(Run(options.workdir).config())
    images = task.interpolate(
        options.workdir, options.first, options.second, options.steps, size=options.size
    )
    write_images(outs, images, columns=len(images))
    print(printable(path(options.out)))
    return 0
