"""Grids by compiled code: what kernels/grids.cc offers, as functions of arrays.

The arguments have been checked; `grids` says what is coded how. Grids lie one behind the other in
one array, the finest first, each with margins of zeros: [h + 3, w + 3], its own integers from row
3 and column 3 on.
"""

import ctypes
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32, UInt32

from dfm_flax import native_library
from dfm_flax.codec.context_model import ContextModel
from dfm_flax.codec.cosines import cosine_table
from dfm_flax.codec.laplace import cumulative_tables

_ERRORS = {
    1: "its grids are damaged",
    2: "there is more in it than its grids",
    3: "an integer of its grids is too large",
}


def why_not() -> str:
    """Why compiled code cannot be used here; empty where it can."""
    return _loaded()[1]


def encode(
    buffer: Int32[np.ndarray, "padded"], shapes: Sequence[tuple[int, int]], model: ContextModel
) -> UInt32[np.ndarray, "words"]:
    """The words of grids."""
    # An integer takes at most 24 bits, and an escape 15 + 1 + 15 + 5.
    words = np.empty(2 * sum(h * w for h, w in shapes) + 4, np.uint32)
    size = _library().Encode(
        *(_Model.of(model), cumulative_tables(), np.array(shapes, np.int64), len(shapes)),
        *(buffer, words, len(words)),
    )
    assert size >= 0, f"grids of more than {len(words):,} words"
    return words[:size].copy()


def decode(
    words: UInt32[np.ndarray, "words"],
    buffer: Int32[np.ndarray, "padded"],
    shapes: Sequence[tuple[int, int]],
    model: ContextModel,
) -> None:
    """Fills a buffer of zeros with grids.

    Raises:
      ValueError: the words are no such grids.
    """
    status = _library().Decode(
        *(_Model.of(model), cumulative_tables(), np.array(shapes, np.int64), len(shapes)),
        *(words, len(words), buffer),
    )
    if status:
        raise ValueError(_ERRORS[status])


def predict(
    buffer: Int32[np.ndarray, "padded"], shapes: Sequence[tuple[int, int]], model: ContextModel
) -> tuple[Int32[np.ndarray, "places"], Int32[np.ndarray, "places"]]:
    """The integers next to the means, and rows of the tables, of all places of all grids."""
    wholes, rows = np.empty((2, sum(h * w for h, w in shapes)), np.int32)
    _library().Predict(
        _Model.of(model), np.array(shapes, np.int64), len(shapes), buffer, wholes, rows
    )
    return wholes, rows


@functools.cache
def _loaded() -> tuple[ctypes.CDLL | None, str]:
    return native_library.load("dfm_flax.codec._grids")


@functools.cache
def _library() -> ctypes.CDLL:
    library, why_not = _loaded()
    assert library is not None, why_not
    integers, sizes, words = (
        np.ctypeslib.ndpointer(dtype, flags="C_CONTIGUOUS")
        for dtype in (np.int32, np.int64, np.uint32)
    )
    model, count, size = ctypes.POINTER(_Model), ctypes.c_int, ctypes.c_int64
    library.Predict.argtypes = [model, sizes, count, integers, integers, integers]
    library.Predict.restype = None
    library.Encode.argtypes = [model, integers, sizes, count, integers, words, size]
    library.Encode.restype = ctypes.c_int64
    library.Decode.argtypes = [model, integers, sizes, count, words, size, integers]
    library.Decode.restype = ctypes.c_int
    return library


class _Model(ctypes.Structure):
    """`dfm::Model`; it points into arrays that it keeps alive."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("neighbors", "features")),
        *(
            (name, ctypes.c_void_p)
            for name in ("scales", "first", "last", "linear", "levels", "fineness", "cosines")
        ),
    )

    @classmethod
    def of(cls, model: ContextModel) -> "_Model":
        parts = *model.arrays, np.array(model.fineness, np.int32), cosine_table()
        arrays = [np.ascontiguousarray(part) for part in parts]
        addresses = [weights.ctypes.data for weights in arrays]
        made = cls(model.scales.size, model.first.shape[1], *addresses)
        made.arrays = arrays
        return made
