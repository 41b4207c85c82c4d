"""Render a run's machines at any size.

Renders the machines of a run from its newest checkpoint, as PNG files NAME_WIDTHxHEIGHT.png;
the run may be training meanwhile. A machine is a function of the position, so any size can be
asked for; the default is the size it was trained on.
"""

import argparse
import re
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workdir", required=True, type=Path, metavar="DIR", help="folder of the run"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: WORKDIR/reconstructions")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--scale", type=_positive, default=1.0, metavar="S", help="relative to training; default: 1"
    )
    size.add_argument("--size", type=_size, metavar="WIDTHxHEIGHT", help="in pixels")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.tasks import compress

    out = options.out or options.workdir / "reconstructions"
    for path in compress.reconstruct(options.workdir, out, options.scale, options.size):
        print(path)
    return 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not (int(match[1]) and int(match[2])):
        raise argparse.ArgumentTypeError(f"{text} is not WIDTHxHEIGHT, like 800x600")
    return int(match[2]), int(match[1])
