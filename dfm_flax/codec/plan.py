"""From the bytes that a file may have to the machine to train and how to train it."""

import bisect
import math

import numpy as np
from ml_collections import ConfigDict

from dfm_flax.codec.container import MAX_HIDDEN
from dfm_flax.errors import UsageError
from dfm_flax.fourier import num_weights

BITS_PER_WEIGHT = 6.0  # with which most is left of an image: docs/results/codec.md
MIN_WIDTH = 3  # in the middle

_DEPTH = 6
_TAPER = (1.4, 0.6)  # the first and the last width over that in the middle
MAX_WIDTH = int(4 * MAX_HIDDEN / _TAPER[0]) / 4  # in the middle, in quarters
_FREQUENCIES = (8, 2, 2)
_SMALL = 6_000  # weights, under which these frequencies are better:
_FREQUENCIES_OF_SMALL = (8, 1, 2)
_HEADER = 28  # bytes of a file but for the weights and their groups, about
_LEARNING_RATE = 0.3  # of all coefficients of an output together


def plan(num_bytes: float, channels: int, num_steps: int) -> ConfigDict:
    """The sections `model`, `optimizer` and `training` of a config, as compression has them.

    Args:
      num_bytes: of the file.
      channels: of the image.
      num_steps: of training.

    Raises:
      UsageError: too few or too many bytes for a machine, or no steps.
    """
    if num_steps < 1:
        raise UsageError(f"--steps {num_steps}: train for at least 1")
    smallest, largest = min_bytes(channels), max_bytes(channels)
    if not smallest <= num_bytes <= largest:
        raise UsageError(
            f"no machine is planned for {num_bytes:,.0f} bytes: files have {math.ceil(smallest):,} "
            f"to {math.floor(largest):,}"
        )
    frequencies = _frequencies(num_bytes)
    middle = _widest_middle(weight_bits(num_bytes) / BITS_PER_WEIGHT, channels, frequencies)
    config = ConfigDict()
    config.model = ConfigDict()
    config.model.machine = ConfigDict(
        {
            "depth": _DEPTH,
            "width": _widths(middle),
            "basis": ("additive",) * 3,
            "max_frequencies": frequencies,
            # Smooth, so that training does not start in a maze.
            "variances": (0.05, 0.02, 0.05),
            "normalize": True,
            "residual": False,
            "extent": 0.7,
        }
    )
    config.optimizer = ConfigDict(
        {
            "name": "soap",
            "b1": 0.9,
            "b2": 0.95,
            "refresh_every": 20,
            # A step moves each output of a layer by as much as its coefficients, all added up: the
            # more there are, the smaller theirs may be before training collapses.
            "learning_rate": _LEARNING_RATE / (2 * middle * frequencies[1]),
            "final_learning_rate": 0.0,
            "schedule": "cosine",
            "warmup_steps": min(100, num_steps // 10),
        }
    )
    config.training = ConfigDict(
        {"num_steps": num_steps, "batch_size": 6_400, "sampling": "stratified"}
    )
    return config


def min_bytes(channels: int) -> float:
    """The smallest files that machines are planned for."""
    weights = _num_weights(MIN_WIDTH, channels, _FREQUENCIES_OF_SMALL)
    return BITS_PER_WEIGHT * weights / 8 + _header_bytes(_FREQUENCIES_OF_SMALL) + 1


def max_bytes(channels: int) -> float:
    """The largest files that machines are planned for: wider ones are not in the format."""
    weights = _num_weights(MAX_WIDTH, channels, _FREQUENCIES)
    return BITS_PER_WEIGHT * weights / 8 + _header_bytes(_FREQUENCIES) + 1


def weight_bits(num_bytes: float) -> float:
    """Bits that are left for the weights of a planned machine in a file of so many bytes."""
    return 8 * (num_bytes - _header_bytes(_frequencies(num_bytes)))


def _header_bytes(frequencies: tuple[int, int, int]) -> int:
    """Bytes of a file but for its weights, about."""
    first, hidden, last = (frequency + 1 for frequency in frequencies)
    groups = first + (_DEPTH - 2) * hidden + last
    return _HEADER + 2 * groups


def _frequencies(num_bytes: float) -> tuple[int, int, int]:
    small = 8 * num_bytes < _SMALL * BITS_PER_WEIGHT
    return _FREQUENCIES_OF_SMALL if small else _FREQUENCIES


def _widest_middle(weights: float, channels: int, frequencies: tuple[int, int, int]) -> float:
    """The width in the middle, in quarters up to `MAX_WIDTH`, with at most so many weights."""
    quarters = range(4, int(4 * MAX_WIDTH) + 1)
    fit = bisect.bisect_right(
        quarters, weights, key=lambda quarter: _num_weights(quarter / 4, channels, frequencies)
    )
    return quarters[fit - 1] / 4


def _widths(middle: float) -> tuple[int, ...]:
    return tuple(max(1, round(middle * part)) for part in np.linspace(*_TAPER, _DEPTH - 1))


def _num_weights(middle: float, channels: int, frequencies: tuple[int, int, int]) -> int:
    return num_weights(_DEPTH, _widths(middle), channels, "additive", frequencies)
