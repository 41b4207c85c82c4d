"""Laplace distributions of integers as tables of whole numbers, for the coding of grids.

**Formula by formula.** The mean is a whole number of sixteenths, the scale b is 2^(code / 8) with
the width code from -40 to 40. `whole = (mean + 8) >> 4` is the integer next to the mean, and
`fraction = mean - 16 whole`, from -8 to 7, is what is left. A table has the frequencies of the
differences d = value - whole from -64 to 64:

    rate = (24204406 * halved(32 * (code mod 8)) >> 30) >> (code // 8)    (a left shift below 0)

is log2(e) / (16 b) in units of 2^-28, the octaves that a sixteenth takes. halved(e) is 2^-(e / 256)
in units of 2^-30, and where e = k rate / 2^20 is no whole number, a straight line joins its values:

    e, r    = divmod(k * rate, 2^20)
    tail(k) = (halved(e) - ((halved(e) - halved(e + 1)) * r >> 20)) >> 1

is the mass beyond k >= 0 sixteenths from the mean, in units of 2^-30. The mass below the place k
is below(k) = tail(-k) for k < 0 and 2^30 - tail(k) for k >= 0; d reaches from 16 d - 8 - fraction
to 16 d + 8 - fraction, but the first one from -infinity and the last one to +infinity. Of its
mass p, d has the frequency 1 + (p * (2^24 - 129) >> 30), and what is missing from a sum of 2^24
goes to d = 0.

**Escapes.** d = -64 and d = 64 stand for all that lies as far or farther. The excess |d| - 64
follows as an Exp-Golomb code of order k = max(code // 8, 0): with q = (excess >> k) + 1 of n + 1
binary digits, these are n bits 1, one bit 0, the n digits of q after its first, and the k lowest
bits of the excess, the highest first. n is at most 15. Each bit has the frequencies 2^23, 2^23.
"""

import functools
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Integer
from numpy.typing import ArrayLike

from dfm_flax.codec.powers import ONE, halved

REACH = 64  # the largest difference that a table has, an escape
SYMBOLS = 2 * REACH + 1
WIDTHS = 40  # the largest width code: b = 2^5
SIXTEENTHS = 16  # the mean's fractions: -8 .. 7
PRECISION = 24  # frequencies of a table add up to 2^PRECISION
MAX_PREFIX = 15  # the longest prefix of an escape

_OCTAVES = 24204406  # log2(e) / 16, in units of 2^-28


@functools.cache
def cumulative_tables() -> Int32[np.ndarray, "tables 130"]:
    """Sums of the frequencies of all lower symbols, of each table: from 0 to 2^24.

    Symbol s stands for the difference s - REACH. `table_row` says which row is whose.
    """
    code = np.arange(-WIDTHS, WIDTHS + 1)[:, None]
    rate = _OCTAVES * halved(code % 8 * 32) >> 30
    rate = np.where(code < 0, rate << np.maximum(-(code // 8), 0), rate >> np.maximum(code // 8, 0))
    octaves = np.arange(16 * REACH + 1) * rate
    exponent, rest = octaves >> 20, octaves & (1 << 20) - 1
    upper = halved(exponent)
    tail = (upper - ((upper - halved(exponent + 1)) * rest >> 20)) >> 1  # [widths, sixteenths]
    fraction = np.arange(-8, 8)[:, None]
    k = 16 * np.arange(1 - REACH, REACH + 1) - 8 - fraction  # lower ends of all but the first
    below = np.where(k < 0, tail[:, np.abs(k)], ONE - tail[:, np.abs(k)])
    masses = np.diff(below, prepend=0, append=ONE)
    frequencies = 1 + (masses * ((1 << PRECISION) - SYMBOLS) >> 30)
    frequencies[..., REACH] += (1 << PRECISION) - frequencies.sum(-1)
    tables = np.zeros((len(code) * SIXTEENTHS, SYMBOLS + 1), np.int32)
    tables[:, 1:] = np.cumsum(frequencies, axis=-1).reshape(-1, SYMBOLS)
    tables.flags.writeable = False  # one array for all who ask
    return tables


def table_row(code: ArrayLike, fraction: ArrayLike) -> Any:
    """The row of `cumulative_tables` for a width code and a mean's fraction in sixteenths."""
    return (np.asarray(code) + WIDTHS) * SIXTEENTHS + np.asarray(fraction) + 8


def escape_order(row: ArrayLike) -> Any:
    """The order of the Exp-Golomb codes that follow escapes of a table: the octave of b >= 1."""
    return np.maximum((np.asarray(row) // SIXTEENTHS - WIDTHS) // 8, 0)


def escape_bits(excess: int, order: int) -> list[int]:
    """The Exp-Golomb code of an excess."""
    quotient = (excess >> order) + 1
    prefix = quotient.bit_length() - 1
    digits = [quotient >> i & 1 for i in reversed(range(prefix))]
    return [1] * prefix + [0] + digits + [excess >> i & 1 for i in reversed(range(order))]


def lengths(
    differences: Integer[np.ndarray, "*places"], rows: Integer[np.ndarray, "*places"]
) -> Float64[np.ndarray, "*places"]:
    """Bits of differences from the whole mean, under the tables of the rows, with escapes."""
    symbols = np.clip(differences, -REACH, REACH) + REACH
    bits = _symbol_lengths()[rows, symbols]
    far = np.abs(differences) >= REACH
    order = escape_order(rows[far])
    quotient = ((np.abs(differences[far]) - REACH) >> order) + 1
    prefix = np.frexp(quotient.astype(np.float64))[1] - 1  # exact: binary digits but one
    bits[far] += 2 * prefix + 1 + order
    return bits


@functools.cache
def _symbol_lengths() -> Float64[np.ndarray, "tables 129"]:
    return PRECISION - np.log2(np.diff(cumulative_tables()))
