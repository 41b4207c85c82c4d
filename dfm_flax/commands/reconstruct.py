"""Render what a run has learned, at any size.

A run of compression: renders its machines from the newest checkpoint as NAME_WIDTHxHEIGHT.png
into --out; the run may be training meanwhile. A machine is a function of the position, so any
size can be asked for; the default is the size it was trained on.

A run of generation: the model's images for --images FILE FILE, which need not be of the
training set (they are brought to its size), or for a --split of its data set, such as test
or, of a set of tensorflow-datasets, test[:64]. Latents come from the encoder or, if training
kept a table of them, from an optimization under the frozen decoder. --out as in `dfm sample`.
"""

import argparse

from dfm_flax.commands.arguments import (
    add_max_pixels,
    add_out,
    add_workdir,
    outputs,
    path,
    positive,
    size,
)
from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    add_out(parser, required=False, help="default: WORKDIR/reconstructions")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--scale", type=positive, default=1.0, metavar="S", help="relative to training"
    )
    sizes.add_argument("--size", type=size, metavar="WIDTHxHEIGHT", help="in pixels; N for NxN")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--images", nargs="+", default=[], type=path, metavar="FILE", help="generation only"
    )
    source.add_argument("--split", metavar="NAME", help="generation only")
    add_max_pixels(parser)


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.outputs import Outputs
    from dfm_flax.runs import Run
    from dfm_flax.tasks import task_of

    # Where nothing is said, into the run, whose pictures are our own.
    own = Outputs(f"{options.workdir / 'reconstructions'}/", overwrite=True)
    written = task_of(Run(options.workdir).config()).reconstruct(
        options.workdir,
        outputs(options, options.images) if options.out else own,
        scale=options.scale,
        size=options.size,
        images=options.images,
        split=options.split,
    )
    for file in written:
        print(printable(file))
    return 0
