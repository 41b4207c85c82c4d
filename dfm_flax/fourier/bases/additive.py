"""The frequencies on the axes: a sum of series of one coordinate each."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int

from dfm_flax.fourier import harmonics, native
from dfm_flax.fourier.basis import Basis
from dfm_flax.fourier.series import by_kernels
from dfm_flax.typing import AnyArray


@dataclass(frozen=True)
class Additive(Basis):
    """0 and the frequencies f e_i, f = 1, .., F, that are not zero in one coordinate i only.

    Of the (F+1)^m frequencies of the full basis these are m F + 1, so the weights grow with m
    and not with 2^m, and a layer can be wide.
    """

    code = 1

    def frequencies(self, m: int) -> Int[np.ndarray, "frequencies {m}"]:
        """0, then those of all coordinates for f = 1, for f = 2, ..: [m F + 1, m]."""
        axes = [f * np.eye(m, dtype=int) for f in range(1, self.max_frequency + 1)]
        return np.concatenate([np.zeros((1, m), int), *axes])

    def num_rows(self, m: int) -> int:
        """2 m F + 1."""
        return 2 * m * self.max_frequency + 1

    def groups(self, m: int) -> Int[np.ndarray, "rows"]:
        """The f of each row."""
        of_frequency = np.repeat(range(self.max_frequency + 1), [1] + [m] * self.max_frequency)
        return np.concatenate([of_frequency, of_frequency[1:]])

    def num_groups(self, m: int) -> int:
        """F + 1."""
        return self.max_frequency + 1

    def series(
        self, x: Float[AnyArray, "points m"], coefficients: Float[AnyArray, "rows n"]
    ) -> Float[jax.Array, "points n"]:
        way = native if by_kernels(x.dtype) else harmonics
        y = way.additive(x.T, coefficients[1:], self.max_frequency)
        # Added before turning: the turn then cancels with that of a layer on top.
        return (y + coefficients[0][:, None]).T


def additive_fourier_series(
    x: Float[AnyArray, "*points m"],
    coefficients: Float[AnyArray, "rows n"],
    max_frequency: int = 1,
) -> Float[jax.Array, "*points n"]:
    """The Fourier series over the frequencies that are not zero in one coordinate only.

        y = a_0 + sum_i sum_{f=1..F} a_if cos(2 pi f x_i) + b_if sin(2 pi f x_i)

    Args:
      x: arguments, in periods.
      coefficients: [2 m F + 1, n]: a_0, then the a_if of all coordinates for f = 1, those for
        f = 2, .., then the b_if in the same order.
      max_frequency: F >= 1.

    Returns:
      Values in the common dtype of the arguments.

    Raises:
      ValueError: the coefficients do not fit the number of coordinates and F.
    """
    return Additive(max_frequency)(x, coefficients)
