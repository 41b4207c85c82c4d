"""Render what a run has learnt, at any size.

A run of compression: renders its machines from the newest checkpoint as NAME_WIDTHxHEIGHT.png
into --out; the run may be training meanwhile. A machine is a function of the position, so any
size can be asked for; the default is the size it was trained on.

A run of generation: the model's images for --images FILE FILE, which need not be of the
training set (they are brought to its size), or for a --split of its data set, such as test
or, of a set of tensorflow-datasets, test[:64]. Latents come from the encoder or, if training
kept a table of them, from an optimization under the frozen decoder. --out as in `dfm sample`.
"""

import argparse
from pathlib import Path

from dfm_flax.commands.arguments import add_workdir, positive, size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    parser.add_argument("--out", type=Path, metavar="PATH", help="default: WORKDIR/reconstructions")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--scale", type=positive, default=1.0, metavar="S", help="relative to training"
    )
    sizes.add_argument("--size", type=size, metavar="WIDTHxHEIGHT", help="in pixels; N for NxN")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--images", nargs="+", default=[], metavar="FILE", help="generation only")
    source.add_argument("--split", metavar="NAME", help="generation only")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.errors import UsageError
    from dfm_flax.runs import Run

    out = options.out or options.workdir / "reconstructions"
    if Run(options.workdir).config().get("task") == "generate":
        _reconstruct_images(options, out)
        print(out)
        return 0
    if options.images or options.split:
        raise UsageError(f"{options.workdir} is a run of compression: no --images, no --split")
    from dfm_flax.compression.reconstruct import reconstruct

    for path in reconstruct(options.workdir, out, options.scale, options.size):
        print(path)
    return 0


def _reconstruct_images(options: argparse.Namespace, out: Path) -> None:
    import numpy as np

    from dfm_flax.data.image_sets import load_image_set
    from dfm_flax.figures.image_output import check_writable, write_images
    from dfm_flax.generation.input_images import read_images
    from dfm_flax.generation.sampling import load_generator

    check_writable(out)
    generator = load_generator(options.workdir)
    shape = generator.shape
    if options.split:
        data = generator.config.data
        split = load_image_set(data.name, options.split, data.data_dir, data.size)
        images = (split.images / 255).astype(np.float32)
    else:
        images = read_images(options.images, shape)
    scaled = tuple(max(1, round(n * options.scale)) for n in (shape.height, shape.width))
    write_images(out, generator.reconstruct(images, options.size or scaled))
