"""Learns the weights that every machine over a pyramid starts from.

python -m dfm_flax.codec.pyramid.learn_start photos -o start.npz --workdir runs/start

Round after round a crop of each photograph is trained from the same start, and the start moves to
the medians of the weights that came of it (Nichol et al., "On First-Order Meta-Learning
Algorithms", 2018, with medians for means: what a file adds to the start costs bits by its
magnitude). Crops and lambdas are other ones in each round. An interrupted command goes on where it
was, by its --workdir.

What it writes becomes the start of new files as `start_N.npz`, with N as `network.NEWEST_START`;
those before stay as they are, for the files that have them.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from dfm_flax.codec.context_model import FRACTION
from dfm_flax.codec.pyramid.geometry import MAX_GRIDS, Pyramid
from dfm_flax.codec.pyramid.network import Network
from dfm_flax.codec.pyramid.planning import gain_of_trade_off
from dfm_flax.codec.pyramid.start import start_floats
from dfm_flax.codec.pyramid.training import Target, train
from dfm_flax.data.image_files import list_files
from dfm_flax.data.images import Image, read_image
from dfm_flax.errors import DfmError, UsageError
from dfm_flax.files import atomic_path, check_writable

Start = dict[str, Float32[np.ndarray, "..."]]

_NETWORK = Network(3, MAX_GRIDS)
_TRADE_OFFS = 0.016, 0.004, 0.001  # lambdas: about 0.1 to 0.5 bits per pixel
_HEIGHT, _WIDTH = 256, 384  # of crops, at most


def learn(
    images: Sequence[Image],
    start: Start,
    rounds: int,
    num_steps: int,
    folder: Path,
    seed: int = 0,
) -> Start:
    """The start after so many rounds.

    Args:
      images: in color.
      start: of the first round.
      num_steps: of each training.
      folder: for checkpoints.

    Raises:
      DfmError: training diverged or was interrupted.
    """
    rng = np.random.default_rng(seed)
    for number in range(1, rounds + 1):
        trade_offs = itertools.islice(itertools.cycle(_TRADE_OFFS), number, None)
        trained = []
        for image, trade_off in zip(images, trade_offs, strict=False):
            crop = _crop(image, rng)
            height, width, _ = crop.pixels.shape
            pyramid = Pyramid(height, width, 0, MAX_GRIDS)
            gain = gain_of_trade_off(trade_off)
            result = train(
                crop, _NETWORK, pyramid, start, gain, trade_off, Target(), num_steps, folder, seed
            )
            trained.append(result.weights)
        medians = {name: np.median([one[name] for one in trained], axis=0) for name in start}
        moved = math.sqrt(sum(float(np.sum((medians[name] - start[name]) ** 2)) for name in start))
        start = {name: array.astype(np.float32) for name, array in medians.items()}
        tqdm.write(f"round {number}: the start moved by {moved:.3f}", file=sys.stderr)
    return start


def in_units(start: Start) -> dict[str, Any]:
    """In whole numbers of 2^-14, as `start` keeps it."""
    return {
        name: np.rint(np.ldexp(array.astype(float), FRACTION)).astype(np.int32)
        for name, array in start.items()
    }


def _crop(image: Image, rng: np.random.Generator) -> Image:
    height, width, _ = image.pixels.shape
    rows, columns = (_HEIGHT, _WIDTH) if width >= height else (_WIDTH, _HEIGHT)
    top = rng.integers(max(0, height - rows) + 1)
    left = rng.integers(max(0, width - columns) + 1)
    pixels = image.pixels[top : top + rows, left : left + columns]
    return Image(pixels, image.levels, image.name)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="photographs, or folders")
    parser.add_argument("-o", "--out", type=Path, required=True, help="an .npz file")
    parser.add_argument("--workdir", type=Path, required=True, help="for checkpoints")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000, help="of each training (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        check_writable(options.out)
        images = [read_image(file) for file in list_files(options.images)]
        photographs = [image for image in images if image.pixels.shape[-1] == 3]
        if not photographs:
            raise UsageError("none of the images is in color")
        start = learn(
            photographs,
            start_floats(_NETWORK),
            options.rounds,
            options.steps,
            options.workdir,
            options.seed,
        )
    except DfmError as error:
        parser.exit(error.exit_code, f"{parser.prog}: {error}\n")
    with atomic_path(options.out) as path, path.open("wb") as file:
        np.savez(file, **in_units(start))


if __name__ == "__main__":
    main()
