"""Powers of 1/2 with fractional exponents, in whole numbers: the same bits on every machine.

What a decoder computes from a file decides which integers it reads from it. One library's
`exp` may differ from another's in the last bit; these tables cannot.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike

_BITS = 128  # after the point, while the table is made

ONE = 1 << 30  # what stands for 1


def _make_table() -> Int64[np.ndarray, "256"]:
    """2^(-i/256) in units of 1 / ONE, rounded down."""
    root = 1 << (_BITS - 1)  # 1/2, of which the square root is taken eight times
    for _ in range(8):
        root = math.isqrt(root << _BITS)
    powers = [1 << _BITS]
    while len(powers) < 256:
        powers.append(powers[-1] * root >> _BITS)
    return np.array([power >> (_BITS - 30) for power in powers], np.int64)


_TABLE = _make_table()


def halved(exponent: ArrayLike) -> Any:
    """2^(-e/256) in units of 1 / ONE for whole e >= 0, rounded down: int64 like `exponent`."""
    exponent = np.asarray(exponent, np.int64)
    return _TABLE[exponent % 256] >> np.minimum(exponent // 256, 62)


def step_size(code: ArrayLike) -> Any:
    """2^(-code/8), the nearest float32, for codes from 0 to 255."""
    code = np.asarray(code, np.int64)
    # Exact in float64: 31 bits times a power of two.
    return np.ldexp(_TABLE[code % 8 * 32] / ONE, -(code // 8)).astype(np.float32)
