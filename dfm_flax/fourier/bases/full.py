"""All products of low frequencies: {0, .., F}^m, the thesis's layer."""

import math
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int

from dfm_flax.fourier import native, tensor_products
from dfm_flax.fourier.basis import Basis
from dfm_flax.fourier.series import by_kernels
from dfm_flax.typing import AnyArray


@dataclass(frozen=True)
class Full(Basis):
    """The frequencies {0, .., F}^m, last coordinate fastest. The thesis has F = 1."""

    code = 0

    def frequencies(self, m: int) -> Int[np.ndarray, "frequencies {m}"]:
        """[(F+1)^m, m]."""
        axes = [np.arange(self.max_frequency + 1)] * m
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, m)

    def num_rows(self, m: int) -> int:
        """2 (F+1)^m - 1.

        Raises:
          ValueError: that is more than 64 bits count.
        """
        if m * math.log2(self.max_frequency + 1) > 62:
            raise ValueError(
                f"{m:,} arguments have {self.max_frequency + 1}^{m} frequencies in the full basis, "
                "too many to count; use a smaller width or the additive basis"
            )
        return 2 * (self.max_frequency + 1) ** m - 1

    def num_groups(self, m: int) -> int:
        """m F + 1."""
        return m * self.max_frequency + 1

    def series(
        self, x: Float[AnyArray, "points m"], coefficients: Float[AnyArray, "rows n"]
    ) -> Float[jax.Array, "points n"]:
        m, F = x.shape[1], self.max_frequency
        way = native if by_kernels(x.dtype) else tensor_products
        matrix = way.tensor_product_matrix(coefficients, m, F)
        return way.series(x.T, matrix, F).T


def fourier_series(
    x: Float[AnyArray, "*points m"],
    coefficients: Float[AnyArray, "rows n"],
    max_frequency: int = 1,
) -> Float[jax.Array, "*points n"]:
    """The Fourier series of `coefficients` at `x`, over all frequencies {0, .., F}^m.

    Args:
      x: arguments, in periods: the series has period 1 in every coordinate.
      coefficients: [2 (F+1)^m - 1, n]: the a_k of all frequencies, last coordinate fastest,
        then the b_k of all but k = 0.
      max_frequency: F >= 1; F = 1 is the thesis's layer.

    Returns:
      Values in the common dtype of the arguments.

    Raises:
      ValueError: the coefficients do not fit the number of coordinates and F.
    """
    return Full(max_frequency)(x, coefficients)
