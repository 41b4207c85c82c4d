"""List the configs that ship, by the names that --config takes.

A line for each; its file, whose path --paths prints, says in its head how long it takes and what
comes out. base_compression and base_generation have every setting of a task with its meaning and
default; sweeps/* are for `dfm sweep`, all others for `dfm train`. What stands after a colon
chooses a variant, as in mnist_best:vae.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paths", action="store_true", help="print where their files are instead")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.config import shipped_configs, summary

    shipped = shipped_configs()
    width = max(map(len, shipped), default=0)
    for name, file in shipped.items():
        print(f"{name:{width}}  {file if options.paths else summary(file)}")
    return 0
