"""Entropy coding of integers by groups, each under a bell curve of its own width.

The integers go through the range coder of the `constriction` package, under models that are
tables of whole numbers.
"""

import functools
from collections.abc import Sequence
from typing import Any

import constriction
import numpy as np
from jaxtyping import Int32, Int64, Integer, UInt32

from dfm_flax.codec.powers import ONE, halved

SHAPES = 3  # exponents 1 (Laplace), 3/2 and 2 (Gauss)
LARGEST = 2**15 - 1  # magnitude that can be coded
MAX_WIDTH = 152  # the last width code: 2^15

_TOTAL = 2**24  # what the frequencies of a table add up to: the coder's precision
_REACH = 24  # widths to either side of zero that a table covers


@functools.lru_cache(maxsize=512)
def frequency_table(shape: int, width: int) -> Int64[np.ndarray, "symbols"]:
    """Frequencies of -M .. M, whole numbers of at least 1 that add up to 2^24.

    Beside that 1, n has a frequency in proportion to 2^-(|n| / w)^p: p = (1, 3/2, 2)[shape],
    w = 2^((width - 32) / 8). M is 24 w, rounded down, and 2 more, but at most `LARGEST`.

    Args:
      shape: from 0 to `SHAPES` - 1.
      width: from 0 to `MAX_WIDTH`.
    """
    fraction, octave = int(halved(-width % 8 * 32)), -(-width // 8) - 4
    # w = fraction / ONE * 2^octave, as a whole number of 2^-30
    reach = _REACH * fraction * 2 ** max(octave, 0) // (ONE * 2 ** max(-octave, 0))
    n = np.arange(min(reach + 2, LARGEST) + 1, dtype=np.int64)
    # |n| / w in units of 2^-16, then its power in units of 2^-8
    ratio = n * int(halved(width % 8 * 32)) >> (10 + width // 8)
    root = np.sqrt(ratio << 16).astype(np.int64)  # exact: IEEE's root of less than 2^52
    power = (ratio >> 8, ratio * root >> 24, ratio * ratio >> 24)[shape]
    side = halved(power)
    shares = np.concatenate([side[:0:-1], side])
    table = 1 + shares * (_TOTAL - len(shares)) // int(shares.sum())
    table[len(side) - 1] += _TOTAL - int(table.sum())
    return table


def encode(
    groups: Sequence[Integer[np.ndarray, "..."]], min_words: int = 0
) -> tuple[int, list[int], UInt32[np.ndarray, "words"]]:
    """Codes integers, group after group, under the models that make them shortest.

    Args:
      groups: of any shape, of magnitudes up to `LARGEST`.
      min_words: how many words there must be at least: where the shortest are fewer, all models
        are wider, by as much as it takes. In the widest an integer takes nearly two bytes.

    Returns:
      The shape, the width of each group, and the coded integers.

    Raises:
      ValueError: an integer is too large, or so many words are more than the widest models give.
    """
    shape, widths = best_models(groups)
    words = _words(groups, shape, widths)
    while len(words) < min_words:
        if min(widths, default=MAX_WIDTH) == MAX_WIDTH:
            raise ValueError(f"the integers take no {min_words:,} words")
        widths = [min(width + 1, MAX_WIDTH) for width in widths]
        words = _words(groups, shape, widths)
    return shape, widths, words


def best_models(groups: Sequence[Integer[np.ndarray, "..."]]) -> tuple[int, list[int]]:
    """The shape, and the width of each group, under which integers are shortest.

    Raises:
      ValueError: an integer is too large.
    """
    if any(np.abs(group).max(initial=0) > LARGEST for group in groups):
        raise ValueError(f"integers above {LARGEST} cannot be coded")
    choices = [[_best_width(shape, group) for group in groups] for shape in range(SHAPES)]
    shape = min(range(SHAPES), key=lambda shape: sum(bits for bits, _ in choices[shape]))
    return shape, [width for _, width in choices[shape]]


def decode(
    words: Integer[np.ndarray, "words"], shape: int, widths: Sequence[int], sizes: Sequence[int]
) -> list[Int32[np.ndarray, "_weights"]]:
    """The groups that `encode` coded, flat, of the given sizes.

    Raises:
      ValueError: the words are no such groups.
    """
    decoder = constriction.stream.queue.RangeDecoder(np.asarray(words, np.uint32))
    groups = []
    try:
        for width, size in zip(widths, sizes, strict=True):
            table = frequency_table(shape, width)
            groups.append(decoder.decode(_model(table), size) - len(table) // 2)
    except AssertionError as error:  # how the coder says that nothing codes to these words
        raise ValueError("its integers are damaged") from error
    if not decoder.maybe_exhausted():
        raise ValueError("there is more in it than its integers")
    return groups


def bits(shape: int, width: int, group: Integer[np.ndarray, "..."]) -> float:
    """Length of integers under a model, infinite where it does not cover them."""
    table = frequency_table(shape, width)
    center = len(table) // 2
    if np.abs(group).max(initial=0) > center:
        return np.inf
    return float(-np.log2(table[np.ravel(group) + center] / _TOTAL).sum())


def _words(
    groups: Sequence[Integer[np.ndarray, "..."]], shape: int, widths: Sequence[int]
) -> UInt32[np.ndarray, "words"]:
    encoder = constriction.stream.queue.RangeEncoder()
    for group, width in zip(groups, widths, strict=True):
        table = frequency_table(shape, width)
        symbols = np.ravel(group).astype(np.int32) + len(table) // 2
        encoder.encode(symbols, _model(table))
    return encoder.get_compressed()


def _best_width(shape: int, group: Integer[np.ndarray, "..."]) -> tuple[float, int]:
    """The fewest bits, and the width that gives them: the length has one minimum over widths."""
    mean = float(np.abs(group).mean()) if group.size else 0.0
    guess = round(8 * np.log2(max(mean, 0.05))) + 32
    covering = next(
        width
        for width in range(max(0, guess - 16), MAX_WIDTH + 1)
        if len(frequency_table(shape, width)) // 2 >= np.abs(group).max(initial=0)
    )
    best = bits(shape, covering, group), covering
    for width in range(covering + 1, MAX_WIDTH + 1):
        length = bits(shape, width, group)
        if length > best[0]:
            break
        best = length, width
    return best


def _model(table: Int64[np.ndarray, "symbols"]) -> Any:
    # Told f - 1 for frequencies that add up to its precision, the coder uses f itself: all that
    # it computes are whole numbers under 2^24, which floats hold.
    return constriction.stream.model.Categorical((table - 1).astype(np.float64), perfect=False)
