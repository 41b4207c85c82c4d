"""What a grid's integers are likely to be, given the neighbors that a decoder has already read.

A Fourier machine of two additive layers of frequency 1, with a linear branch, makes a Laplace
distribution for each place of a grid from up to 14 integers beside and above it. It computes in
whole numbers alone, so that all machines find the same.

**Formula by formula.** c_i is the integer at `OFFSETS[i]` from the place, 0 outside the grid; the
weights are whole numbers of 2^-14, cos and sin entries of `cosines.cosine_table` in the same unit,
at phases of which 4,096 are a period; `>>` rounds down, and l is the grid's number, 0 the finest.

    p_i = (c_i * scales[i]) >> (2 + s)
    h_j = 2^14 first[0, j] + sum_i cos(p_i) first[1 + i, j] + sin(p_i) first[1 + C + i, j]
    q_j = h_j >> 16
    o_k = sum_j cos(q_j) last[j, k] + sin(q_j) last[H + j, k] + 2^14 levels[l, k]
    d_k = sum_i c_i linear[i, k]
    mean = (2^s o_0 + 2^14 d_0 + 2^23) >> 24, at least -524272 and at most 524272: sixteenths
    code = (o_1 + 2^(14 - s) d_1 + 2^28 s + 2^24) >> 25, at least -40 and at most 40: b is
        2^(code / 8)

s is the grid's fineness: its unit is 2^-s of that which the weights are for.
`MAX_WEIGHT`, `MAX_FEATURES`, `_FINENESS` and `LARGEST` keep each sum below 2^54.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, Integer

from dfm_flax.codec.cosines import PHASES, cosine_table
from dfm_flax.codec.laplace import WIDTHS

FRACTION = 14  # weights are whole numbers of 2^-14
MAX_WEIGHT = 1 << 20  # the largest magnitude of a weight: 64
MAX_FEATURES = 64
MAX_LEVELS = 32
_FINENESS = range(7)
LARGEST = 2**15 - 1  # the largest magnitude of a grid's integers

OFFSETS = (  # (dy, dx), of which a model with C neighbors has the first C
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2)),
    *((-2, -1), (-2, 1), (0, -3), (-2, -2), (-2, 2), (-3, 0)),
)


@dataclass(frozen=True, eq=False)
class ContextModel:
    """The machine that says how likely each integer is; its weights in units of 2^-14.

    Attributes:
      scales: [C], periods that a unit of each neighbor spans.
      first: [1 + 2C, H], the first layer's, to the features: a constant, the cosines of the
        neighbors, their sines.
      last: [2H, 2], the second layer's, from the cosines of the features and then their sines to
        the mean and the logarithm to base 2 of the scale b.
      linear: [C, 2], from the neighbors to the same two.
      levels: [L, 2], constants of each grid, the finest first.
      fineness: [L], how often the unit of each grid is halved.

    Raises:
      ValueError: the shapes do not fit together, or exceed the limits, or a weight does.
    """

    scales: Int32[np.ndarray, "_neighbors"]
    first: Int32[np.ndarray, "_constant_cosines_and_sines _features"]
    last: Int32[np.ndarray, "_cosines_and_sines _outputs"]
    linear: Int32[np.ndarray, "_neighbors _outputs"]
    levels: Int32[np.ndarray, "_levels _outputs"]
    fineness: tuple[int, ...]

    def __post_init__(self) -> None:
        neighbors, features, levels = self.scales.size, len(self.last) // 2, len(self.levels)
        if not 1 <= neighbors <= len(OFFSETS):
            raise ValueError(f"a context has 1 to {len(OFFSETS)} neighbors, not {neighbors}")
        if not (1 <= features <= MAX_FEATURES and 1 <= levels <= MAX_LEVELS):
            raise ValueError(
                f"{features} features and {levels} levels are none, or more than {MAX_FEATURES} "
                f"and {MAX_LEVELS}"
            )
        if len(self.fineness) != levels or not set(self.fineness) <= set(_FINENESS):
            raise ValueError(f"grids cannot be finer {self.fineness} times")
        shapes = [weights.shape for weights in self.arrays]
        expected = [
            *((neighbors,), (1 + 2 * neighbors, features)),
            *((2 * features, 2), (neighbors, 2), (levels, 2)),
        ]
        if shapes != expected:
            raise ValueError(f"the weights have shapes {shapes}, and not {expected}")
        # The magnitude of the lowest int32 is none of int32's.
        if any(np.abs(weights.astype(np.int64)).max() > MAX_WEIGHT for weights in self.arrays):
            raise ValueError(f"a weight of the context model exceeds {MAX_WEIGHT >> FRACTION}")

    @property
    def arrays(self) -> tuple[Int32[np.ndarray, "..."], ...]:
        """All weights, in the order of the attributes."""
        return self.scales, self.first, self.last, self.linear, self.levels

    def distribution(
        self, neighbors: Int64[np.ndarray, "neighbors places"], level: int
    ) -> tuple[Int64[np.ndarray, "places"], Int64[np.ndarray, "places"]]:
        """The mean in sixteenths, and the width code, at places with these neighbors.

        Args:
          neighbors: of magnitudes up to `LARGEST`, in the order of `OFFSETS`.
          level: the number of the grid, 0 the finest.
        """
        # Sums of products go through float64, which holds whole numbers below 2^53 exactly: BLAS
        # is many times faster than NumPy's loop over integers, and these stay below 2^42.
        fineness = self.fineness[level]
        waves = _waves(neighbors * self.scales[:, None].astype(np.int64) >> (2 + fineness))
        sums = _product(self.first[1:], waves) + (self.first[0].astype(np.int64)[:, None] << 14)
        sums = _product(self.last, _waves(sums >> 16))
        mean, width = sums + (self.levels[level].astype(np.int64)[:, None] << 14)
        of_mean, of_width = _product(self.linear, neighbors)
        mean = (mean << fineness) + (of_mean << 14)
        width = width + (of_width << (14 - fineness)) + (fineness << 28)
        return (
            np.clip((mean + (1 << 23)) >> 24, -16 * LARGEST, 16 * LARGEST),
            np.clip((width + (1 << 24)) >> 25, -WIDTHS, WIDTHS),
        )


def _waves(phases: Int64[np.ndarray, "n places"]) -> Int32[np.ndarray, "2*n places"]:
    """The cosines, then the sines."""
    both = np.concatenate([phases, phases - PHASES // 4])
    return cosine_table()[both & (PHASES - 1)]


def _product(
    weights: Int32[np.ndarray, "rows n"], values: Integer[np.ndarray, "rows places"]
) -> Int64[np.ndarray, "n places"]:
    return (weights.T.astype(np.float64) @ values.astype(np.float64)).astype(np.int64)
