"""Cosines of a period in whole numbers: the same bits on every machine.

Entry p of the table is cos(2 pi p / 4096) in units of 2^-14, rounded to the nearest whole number;
p = 0 .. 4095, and phases beyond wrap around, as `phase mod 4096`. sin(2 pi p / 4096) is entry
p - 1024. The table comes from square roots of whole numbers with 128 bits after the point: no
library's `cos` takes part in it.
"""

import functools
import math

import numpy as np
from jaxtyping import Int32

PHASES = 4096  # of a period
UNIT = 1 << 14  # what stands for 1

_BITS = 128  # after the point, while the table is made
_ONE = 1 << _BITS


@functools.cache
def cosine_table() -> Int32[np.ndarray, "4096"]:
    """cos(2 pi p / PHASES) in units of 1 / UNIT, the nearest whole numbers."""
    cos, sin = 0, _ONE  # of a quarter of a period; then half of that angle, and so on
    for _ in range(10):
        cos, sin = (math.isqrt((_ONE + sign * cos) * _ONE // 2) for sign in (1, -1))
    quarter, x, y = [], _ONE, 0
    for _ in range(PHASES // 4):
        quarter.append((x * UNIT + _ONE // 2) >> _BITS)
        x, y = (x * cos - y * sin) >> _BITS, (x * sin + y * cos) >> _BITS
    falling = np.array([*quarter, 0], np.int32)
    half = np.concatenate([falling, -falling[-2::-1]])  # phases 0 to 2048
    table = np.concatenate([half, half[-2:0:-1]])
    table.flags.writeable = False  # one array for all who ask
    return table
