"""Entropy coding of grids of integers, each integer under what its neighbors say of it.

**Byte by byte.** Grids are coded one after the other, the coarsest (the last) first. In a grid of
h rows and w columns, places come by fronts t = x + 3 y = 0, 1, .., w - 1 + 3 (h - 1), and along a
front by rows y, the lowest first: all neighbors of a place lie on earlier fronts, so that a front
can be predicted at once. For each place the context model of `context_model` makes a mean and a
width code of the neighbors, 0 outside the grid; a table of `laplace` makes frequencies of them, of
the difference between the integer and the whole mean; after the differences -64 and 64 follow the
bits of an excess. Integers have magnitudes up to 32767.

All of it is one message of one range coder: 32-bit words, little-endian in a file, a state of 64
bits, frequencies that add up to 2^24. The encoder starts with low = 0 and range = 2^64 - 1. An
event that has the frequency f, and all lower ones of its table F together, makes of them

    scale = range >> 24;  low = low + scale * F;  range = scale * f

where a carry out of 64 bits goes to the words already written; if then range < 2^32, low's upper
32 bits are the next word, and both are shifted left by 32. In the end follow the upper 32 bits of
low + 2^32 - 1, and a word of 0 if those of low + range are the same. These are the words of
`stream.queue` of the package `constriction`. A decoder keeps two words more than have been shifted
out, zeros after the last one. It refuses words if it has not come to the last one in the end, or
if what it keeps lies 2^33 - 1 or more above low.

Compiled code does this where there is some; NumPy and `constriction` do the same without.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import constriction
import numpy as np
from jaxtyping import Float64, Int32, Int64, Integer, UInt32

from dfm_flax.codec import laplace, native
from dfm_flax.codec.context_model import LARGEST, OFFSETS, ContextModel

_MARGIN = 3  # rows above, and columns beside a grid, that contexts reach into
_PLACES = 1 << 15  # predicted at once, about 300 bytes each


def encode(
    grids: Sequence[Int32[np.ndarray, "_height _width"]], model: ContextModel
) -> UInt32[np.ndarray, "words"]:
    """The words of grids, given finest first.

    Raises:
      ValueError: a grid is empty, or not one for each level of the model, or an integer is too
        large.
    """
    buffer, shapes = _checked(grids, model)
    if not native.why_not():
        return native.encode(buffer, shapes, model)
    encoder = constriction.stream.queue.RangeEncoder()
    for level in reversed(range(len(shapes))):
        grid = grids[level].ravel()
        wholes, rows = _predict(_views(buffer, shapes)[level], shapes[level], model, level)
        order = np.concatenate([y * shapes[level][1] + x for y, x in _fronts(*shapes[level])])
        differences = (grid - wholes)[order]
        symbols = np.clip(differences, -laplace.REACH, laplace.REACH) + laplace.REACH
        for symbol, row, difference in zip(
            symbols.tolist(), rows[order].tolist(), differences.tolist(), strict=True
        ):
            encoder.encode(symbol, _coder_model(row))
            if symbol in _ESCAPES:
                order_of_code = int(laplace.escape_order(row))
                for bit in laplace.escape_bits(abs(difference) - laplace.REACH, order_of_code):
                    encoder.encode(bit, _BIT)
    return encoder.get_compressed()


def decode(
    words: Integer[np.ndarray, "words"], shapes: Sequence[tuple[int, int]], model: ContextModel
) -> list[Int32[np.ndarray, "_height _width"]]:
    """The grids that `encode` coded.

    Time and memory go with the number of integers, whatever the words.

    Args:
      words: whole numbers from 0 to 2^32 - 1.
      shapes: (h, w) of each grid.

    Raises:
      ValueError: the words are no such grids, or the shapes are none for the model.
    """
    _check_shapes(shapes, model)
    words = np.ascontiguousarray(words, np.uint32)
    buffer = np.zeros(sum(map(_padded_size, shapes)), np.int32)
    views = _views(buffer, shapes)
    if not native.why_not():
        native.decode(words, buffer, shapes, model)
    else:
        decoder = constriction.stream.queue.RangeDecoder(words)
        try:
            for level in reversed(range(len(shapes))):
                _decode_grid(decoder, views[level], shapes[level], model, level)
        except AssertionError as error:  # how the coder says that nothing codes to these words
            raise ValueError("its grids are damaged") from error
        if not decoder.maybe_exhausted():
            raise ValueError("there is more in it than its grids")
    return [view[_MARGIN:, _MARGIN:].copy() for view in views]


def lengths(
    grids: Sequence[Int32[np.ndarray, "_height _width"]], model: ContextModel
) -> list[Float64[np.ndarray, "_height _width"]]:
    """The bits that each integer takes.

    `encode` takes one or two words more than all together, and about 0.0002 bits a place.

    Raises:
      ValueError: see `encode`.
    """
    buffer, shapes = _checked(grids, model)
    if not native.why_not():
        wholes, rows = native.predict(buffer, shapes, model)
    else:
        views = _views(buffer, shapes)
        wholes, rows = np.concatenate(
            [_predict(views[level], shapes[level], model, level) for level in range(len(shapes))],
            axis=1,
        )
    values = np.concatenate([grid.ravel() for grid in grids])
    bits = laplace.lengths(values - wholes, rows)
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(bits, ends), shapes, strict=True)]


def _check_shapes(shapes: Sequence[tuple[int, int]], model: ContextModel) -> None:
    if len(shapes) != len(model.levels):
        raise ValueError(f"{len(shapes)} grids for a context model of {len(model.levels)}")
    if any(min(shape) < 1 for shape in shapes):
        raise ValueError("a grid is empty")


def _checked(
    grids: Sequence[Int32[np.ndarray, "_height _width"]], model: ContextModel
) -> tuple[Int32[np.ndarray, "padded"], list[tuple[int, int]]]:
    """The grids with margins, one behind the other, and their shapes."""
    shapes = [(grid.shape[0], grid.shape[1]) for grid in grids]
    _check_shapes(shapes, model)
    if any(max(grid.max(), -int(grid.min())) > LARGEST for grid in grids):
        raise ValueError(f"integers above {LARGEST} cannot be coded")
    margins = ((_MARGIN, 0), (_MARGIN, 0))
    return np.concatenate([np.pad(grid, margins).ravel() for grid in grids]), shapes


def _padded_size(shape: tuple[int, int]) -> int:
    return (shape[0] + _MARGIN) * (shape[1] + _MARGIN)


def _views(
    buffer: Int32[np.ndarray, "padded"], shapes: Sequence[tuple[int, int]]
) -> list[Int32[np.ndarray, "_padded_height _padded_width"]]:
    """Each grid with its margins, in the memory of the buffer."""
    ends = np.cumsum([_padded_size(shape) for shape in shapes])[:-1]
    return [
        part.reshape(h + _MARGIN, w + _MARGIN)
        for part, (h, w) in zip(np.split(buffer, ends), shapes, strict=True)
    ]


def _offsets(model: ContextModel, width: int) -> Int64[np.ndarray, "neighbors 1"]:
    """How far from a place its neighbors are in a grid with margins, flat.

    What would lie beyond the right end of a row lies in the left margin of the next one.
    """
    dy, dx = np.array(OFFSETS[: model.scales.size], np.int64).T
    return (dy * (width + _MARGIN) + dx)[:, None]


def _predict_places(
    neighbors: Int32[np.ndarray, "neighbors places"], model: ContextModel, level: int
) -> tuple[Int64[np.ndarray, "places"], Int64[np.ndarray, "places"]]:
    """The integers next to the means, and the rows of the tables."""
    busy = neighbors.any(axis=0)
    # Most contexts are all zeros: these are one.
    chosen = np.concatenate([neighbors[:, busy], np.zeros_like(neighbors[:, :1])], axis=1)
    mean, code = model.distribution(chosen.astype(np.int64), level)
    whole = (mean + 8) >> 4
    row = laplace.table_row(code, mean - 16 * whole)
    wholes, rows = np.full((2, neighbors.shape[1]), [[whole[-1]], [row[-1]]])
    wholes[busy], rows[busy] = whole[:-1], row[:-1]
    return wholes, rows


def _predict(
    padded: Int32[np.ndarray, "padded_height padded_width"],
    shape: tuple[int, int],
    model: ContextModel,
    level: int,
) -> Int64[np.ndarray, "2 places"]:
    """The integers next to the means, and the rows of the tables, of a whole grid."""
    height, width = shape
    offsets = _offsets(model, width)
    places = np.arange(padded.size).reshape(padded.shape)[_MARGIN:, _MARGIN:].ravel()
    flat = padded.ravel()
    predictions = [
        _predict_places(flat[part + offsets], model, level)
        for part in np.split(places, range(_PLACES, height * width, _PLACES))
    ]
    return np.concatenate(predictions, axis=1)


def _fronts(
    height: int, width: int
) -> Iterator[tuple[Int64[np.ndarray, "places"], Int64[np.ndarray, "places"]]]:
    """(y, x) of the places of each front."""
    for t in range(width + 3 * (height - 1)):
        y = np.arange(max(0, (t - width) // 3 + 1), min(height, t // 3 + 1))
        if y.size:  # a narrow grid has fronts without places
            yield y, t - 3 * y


def _decode_grid(
    decoder: Any,
    padded: Int32[np.ndarray, "padded_height padded_width"],
    shape: tuple[int, int],
    model: ContextModel,
    level: int,
) -> None:
    flat = padded.reshape(-1)
    offsets = _offsets(model, shape[1])
    decode_one = decoder.decode
    for y, x in _fronts(*shape):
        places = (y + _MARGIN) * padded.shape[1] + x + _MARGIN
        wholes, rows = _predict_places(flat[places + offsets], model, level)
        values = []
        for row in rows.tolist():
            symbol = decode_one(_coder_model(row))
            values.append(symbol - laplace.REACH)
            if symbol in _ESCAPES:
                excess = _decode_excess(decoder, int(laplace.escape_order(row)))
                values[-1] += excess if symbol else -excess
        differences = wholes + values
        if np.abs(differences).max() > LARGEST:
            raise ValueError("an integer of its grids is too large")
        flat[places] = differences


def _decode_excess(decoder: Any, order: int) -> int:
    prefix = 0
    while decoder.decode(_BIT):
        prefix += 1
        if prefix > laplace.MAX_PREFIX:
            raise ValueError("its grids are damaged")
    digits, low = (
        functools.reduce(lambda value, _: 2 * value + decoder.decode(_BIT), range(count), 0)
        for count in (prefix, order)
    )
    return (((1 << prefix) + digits - 1) << order) + low


_ESCAPES = frozenset({0, laplace.SYMBOLS - 1})
_BIT = constriction.stream.model.Uniform(2)


@functools.cache
def _coder_model(row: int) -> Any:
    # Told f - 1 for frequencies that add up to its precision, the coder uses f itself: all that
    # it computes are whole numbers under 2^24, which floats hold.
    frequencies = np.diff(laplace.cumulative_tables()[row])
    return constriction.stream.model.Categorical(
        (frequencies - 1).astype(np.float64), lazy=False, perfect=False
    )
