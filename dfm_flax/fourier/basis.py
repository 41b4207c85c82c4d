"""What a layer's series is made of: the frequencies that it has, and how it is evaluated.

    y = sum_k  a_k cos(2 pi k.x) + b_k sin(2 pi k.x)

The bases of this package are in `bases`, a file each.
"""

import abc
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float64, Int, Real

from dfm_flax.fourier.native import NO_SUCH_DERIVATIVE
from dfm_flax.registry import Registry
from dfm_flax.typing import AnyArray


@dataclass(frozen=True)
class Basis(abc.ABC):
    """The frequencies of a layer R^m -> R^n, for every m.

    A layer's coefficients are a matrix [rows, n]: the a_k of all frequencies, of which the
    first is 0, then the b_k of all but that. A new basis defines `frequencies`; all else
    follows from them, and is for it to do faster.

    Attributes:
      max_frequency: F, the largest frequency, at least 1.
      code: what stands for the basis in a `.dfm` file; None where no file can hold it.

    Raises:
      ValueError: F is less than 1.
    """

    max_frequency: int = 1
    code: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        if self.max_frequency < 1:
            raise ValueError(f"max_frequencies are at least 1, not {self.max_frequency}")

    @abc.abstractmethod
    def frequencies(self, m: int) -> Real[np.ndarray, "frequencies {m}"]:
        """The frequencies k of m arguments in the order of the coefficients, 0 first."""

    def num_rows(self, m: int) -> int:
        """Rows of the coefficients: 2 K - 1, as sin(0) carries nothing."""
        return 2 * len(self.frequencies(m)) - 1

    def groups(self, m: int) -> Int[np.ndarray, "rows"]:
        """The group of each row, from 0 on.

        Rows of a group share a step size and an entropy model. They are those of all
        frequencies with equal k_1 + .. + k_m, cosines and sines together: coefficients of
        higher frequencies are smaller, and less depends on them.
        """
        _, of_frequency = np.unique(self.frequencies(m).sum(axis=1), return_inverse=True)
        return np.concatenate([of_frequency, of_frequency[1:]])

    def num_groups(self, m: int) -> int:
        """Number of groups."""
        return int(self.groups(m).max()) + 1

    def initial_deviations(
        self, m: int, variance: float, normalize: bool = False
    ) -> Float64[np.ndarray, "rows"]:
        """Standard deviation of the initial coefficients, row by row.

        Args:
          m: number of arguments.
          variance: of a coefficient.
          normalize: makes `variance` that of an output, at a random argument. Deviations are
            then in proportion to (1 + |k|)^(-1/2).
        """
        size = np.linalg.norm(self.frequencies(m), axis=-1)
        size = np.concatenate([size, size[1:]])
        if not normalize:
            return np.full(len(size), variance**0.5)
        decay = (1 + size) ** -0.5
        # cos^2 and sin^2 are 1/2 on average, but for the constant.
        power = np.sum(decay**2 * np.where(size > 0, 0.5, 1))
        return decay * (variance / power) ** 0.5

    def __call__(
        self, x: Float[AnyArray, "*points m"], coefficients: Float[AnyArray, "rows n"]
    ) -> Float[jax.Array, "*points n"]:
        """The series of `coefficients` at `x`, which is in periods.

        Returns:
          Values in the common dtype of the arguments. They are computed in float32 where
          that is less: bfloat16 would not tell the angles apart.

        Raises:
          TypeError: a derivative in forward mode is asked for, see `series.by_xla`.
          ValueError: the coefficients do not fit the number of arguments and F.
        """
        m, (rows, n) = x.shape[-1], coefficients.shape
        if rows != self.num_rows(m):
            raise ValueError(
                f"a series of {m} coordinates in {self} has {self.num_rows(m)} rows of "
                f"coefficients, not {rows}"
            )
        dtype = jnp.result_type(x, coefficients)
        inside = jnp.promote_types(dtype, jnp.float32)
        try:
            y = self.series(x.reshape(-1, m).astype(inside), coefficients.astype(inside))
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            raise TypeError(NO_SUCH_DERIVATIVE) from error
        return y.reshape(*x.shape[:-1], n).astype(dtype)

    def series(
        self, x: Float[AnyArray, "points m"], coefficients: Float[AnyArray, "rows n"]
    ) -> Float[jax.Array, "points n"]:
        """The same of a list of arguments.

        As the formula says, by all features of all arguments: [P, 2 K - 1].
        """
        k = self.frequencies(x.shape[-1])
        exact = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
        periods = exact(x, k.T.astype(x.dtype))
        angles = 2 * np.pi * (periods - jnp.round(periods))
        return exact(jnp.cos(angles), coefficients[: len(k)]) + exact(
            jnp.sin(angles[:, 1:]), coefficients[len(k) :]
        )


BASES: Registry[type[Basis]] = Registry.of_folder("basis", "dfm_flax.fourier.bases", Basis)


def make_basis(name: str, max_frequency: int) -> Basis:
    """The basis of a name of `BASES` or an import path "module:Name".

    Raises:
      UsageError: there is none of that name.
      ValueError: it is no basis, or cannot have this F.
    """
    basis = BASES.get(name)
    if not (isinstance(basis, type) and issubclass(basis, Basis)):
        raise ValueError(f"basis {name!r} is no subclass of dfm_flax.fourier.Basis")
    return basis(max_frequency)


def make_bases(bases: Sequence["str | Basis"], max_frequencies: Sequence[int]) -> list[Basis]:
    """The bases of several layers, each given by name or as it is; see `make_basis`."""
    return [
        basis if isinstance(basis, Basis) else make_basis(basis, max_frequency)
        for basis, max_frequency in zip(bases, max_frequencies, strict=True)
    ]
