"""Low-frequency Fourier series of several variables: one layer of a Deep Fourier Machine.

    y = sum_k  a_k cos(2 pi k.x) + b_k sin(2 pi k.x),      k in {0, .., F}^m

Here is what a series is; how it is evaluated is in `tensor_products` and `harmonics` (XLA,
for every device) and in `native` (compiled kernels, for CPUs).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax
import jax.numpy as jnp
import numpy as np

from dfm_flax.fourier import harmonics, native, tensor_products

_force_xla: ContextVar[bool] = ContextVar("force_xla", default=False)


@contextmanager
def by_xla() -> Iterator[None]:
    """Within it, series that are traced are evaluated by XLA, whatever the device."""
    token = _force_xla.set(True)
    try:
        yield
    finally:
        _force_xla.reset(token)


def evaluation() -> str:
    """How series in float32 are evaluated here, in words, for a log."""
    if _by_kernels(jnp.dtype(jnp.float32)):
        return "compiled CPU kernels"
    if jax.default_backend() == "cpu" and not _force_xla.get():
        return f"XLA, slower than the compiled kernels ({native.why_not()})"
    return "XLA"


def _by_kernels(dtype) -> bool:
    """The one place that chooses: compiled kernels on a CPU in float32, or else XLA.

    On two CPU cores the kernels are 2 to 4 times faster than XLA at every size that was tried
    (docs/speed.md); XLA alone runs on accelerators, in float64, and twice differentiable.
    """
    if _force_xla.get() or jax.default_backend() != "cpu" or dtype != jnp.float32:
        return False
    return not native.why_not()


def num_coefficients(in_features: int, max_frequency: int = 1) -> int:
    """Rows of a layer's coefficients: 2 (F+1)^m - 1, as sin(0) carries nothing."""
    return 2 * (max_frequency + 1) ** in_features - 1


def frequencies(in_features: int, max_frequency: int = 1) -> np.ndarray:
    """The frequencies k in the order of the coefficients: [(F+1)^m, m], last coordinate fastest."""
    axes = [np.arange(max_frequency + 1)] * in_features
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, in_features)


def num_additive_coefficients(in_features: int, max_frequency: int = 1) -> int:
    """Rows of the coefficients of an additive series: 2 m F + 1."""
    return 2 * in_features * max_frequency + 1


def additive_fourier_series(
    x: jax.Array, coefficients: jax.Array, max_frequency: int = 1
) -> jax.Array:
    """The Fourier series over the frequencies that are not zero in one coordinate only.

        y = a_0 + sum_i sum_{f=1..F} a_if cos(2 pi f x_i) + b_if sin(2 pi f x_i)

    Of the (F+1)^m frequencies of `fourier_series` it keeps the m F on the axes, so the
    weights grow with m and not with 2^m, and a layer can be wide.

    Args:
      x: arguments [..., m], in periods.
      coefficients: [2 m F + 1, n]: a_0, then the a_if of all coordinates for f = 1, those for
        f = 2, .., then the b_if in the same order.
      max_frequency: F >= 1.

    Returns:
      Values [..., n] in the common dtype of the arguments.

    Raises:
      ValueError: the coefficients do not fit the number of coordinates and F.
    """
    m = x.shape[-1]
    if coefficients.shape[0] != num_additive_coefficients(m, max_frequency):
        raise ValueError(
            f"an additive series of {m} coordinates with frequencies up to {max_frequency} has "
            f"{num_additive_coefficients(m, max_frequency)} rows of coefficients, "
            f"not {coefficients.shape[0]}"
        )
    dtype = jnp.result_type(x, coefficients)
    weights = coefficients.astype(dtype)
    way = native if _by_kernels(dtype) else harmonics
    y = way.additive(x.reshape(-1, m).T.astype(dtype), weights[1:], max_frequency)
    return (y.T + weights[0]).reshape(*x.shape[:-1], coefficients.shape[-1])


def additive_frequencies(in_features: int, max_frequency: int = 1) -> np.ndarray:
    """0 and the frequencies f e_i on the axes, in the order of an additive series: [m F + 1, m]."""
    axes = [f * np.eye(in_features, dtype=int) for f in range(1, max_frequency + 1)]
    return np.concatenate([np.zeros((1, in_features), int), *axes])


def fourier_series(x: jax.Array, coefficients: jax.Array, max_frequency: int = 1) -> jax.Array:
    """The Fourier series of `coefficients` at `x`.

    Args:
      x: arguments [..., m], in periods: the series has period 1 in every coordinate.
      coefficients: [2 (F+1)^m - 1, n]: the a_k of all `frequencies`, then the
        b_k of all but k = 0.
      max_frequency: F >= 1; F = 1 is the thesis's layer.

    Returns:
      Values [..., n] in the common dtype of the arguments.

    Raises:
      ValueError: the coefficients do not fit the number of coordinates and F.
    """
    m = x.shape[-1]
    if coefficients.shape[0] != num_coefficients(m, max_frequency):
        raise ValueError(
            f"a series of {m} coordinates with frequencies up to {max_frequency} has "
            f"{num_coefficients(m, max_frequency)} rows of coefficients, "
            f"not {coefficients.shape[0]}"
        )
    dtype = jnp.result_type(x, coefficients)
    way = native if _by_kernels(dtype) else tensor_products
    matrix = way.tensor_product_matrix(coefficients.astype(dtype), m, max_frequency)
    y = way.series(x.reshape(-1, m).T.astype(dtype), matrix, max_frequency)
    return y.T.reshape(*x.shape[:-1], coefficients.shape[-1])
