"""Draw new images from a trained generator.

Draws images of random latents from the newest checkpoint of a run, or from a generator in a file:
--pretrained takes NAME.npz, as `dfm export` writes it, or the name of one that ships with the
package. A machine is a function of the position, so any --size can be asked for.

--prior says what the latents are drawn from, see below. Each is fitted to the latents of the
training images once, and kept with the run; a file has those that it was written with.
--class draws images of one class of the data set, counted from 0.

--out: a picture such as samples.png holds all images as a grid; NAME.npz the array `images`,
uint8 [N, H, W, C]; a name without suffix, or with / at its end, is a folder of single PNGs.
"""

import argparse

from dfm_flax.commands.arguments import (
    add_out,
    count,
    described,
    label,
    outputs,
    path,
    seed,
    size,
)
from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--workdir", type=path, metavar="DIR", help="folder of the run")
    source.add_argument("--pretrained", metavar="NAME", help="a generator in a file")
    parser.add_argument("--num", type=count, default=64, metavar="N", help="default: 64")
    add_out(parser)
    parser.add_argument("--size", type=size, metavar="WIDTHxHEIGHT", help="in pixels; N for NxN")
    parser.add_argument("--prior", default="gaussian", metavar="NAME", help="default: gaussian")
    parser.add_argument(
        "--class", type=label, metavar="K", dest="label", help="of the images; default: all"
    )
    parser.epilog = (
        f"priors:\n{described('dfm_flax.generation.priors')}\n"
        "  or an import path my_module:Name, of a subclass of dfm_flax.generation.prior.Prior"
    )
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="default: 0")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.figures.image_output import claim_images, write_images
    from dfm_flax.runs import Run
    from dfm_flax.tasks import task_of

    outs = claim_images(outputs(options, filter(None, [options.pretrained])), options.num)
    how = {
        "prior": options.prior,
        "seed": options.seed,
        "size": options.size,
        "label": options.label,
    }
    if options.pretrained:
        from dfm_flax.generation.pretrained import load_pretrained

        images = load_pretrained(options.pretrained).sample(options.num, **how)
    else:
        task = task_of(Run(options.workdir).config())
        images = task.sample(options.workdir, options.num, **how)
    write_images(outs, images)
    print(printable(path(options.out)))
    return 0
