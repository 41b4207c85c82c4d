"""Write a trained generator to one small file, to sample from elsewhere.

Writes what sampling needs of the newest checkpoint of a run, and nothing else: the weights of the
decoder, and priors that are fitted to the latents of the training images.

  dfm export --workdir runs/mnist --out mnist.npz
  dfm sample --pretrained mnist.npz --num 64 --out digits.png
"""

import argparse

from dfm_flax.commands.arguments import add_out, add_workdir, outputs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_workdir(parser)
    add_out(parser, metavar="NAME.npz")
    parser.add_argument(
        "--prior",
        nargs="+",
        default=["normal", "gaussian"],
        metavar="NAME",
        help="that go with it, see `dfm sample --help`; default: normal gaussian",
    )


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.generation.pretrained import SUFFIX, export
    from dfm_flax.generation.sampling import load_generator

    out = outputs(options).one(f"{options.workdir.name}{SUFFIX}", (SUFFIX,))
    export(load_generator(options.workdir), out, options.prior)
    print(f"{out}: {out.stat().st_size:,} bytes")
    return 0
