"""Where series are evaluated: by compiled kernels or by XLA.

How, is in `native` (kernels, for CPUs), and in `tensor_products` and `harmonics` (XLA, for
every device). The large matrix products of XLA have the precision of the caller's
`jax.default_matmul_precision`: images are drawn at "highest", and the config key
`training.precision` is that of training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dfm_flax.fourier import native

_force_xla: ContextVar[bool] = ContextVar("force_xla", default=False)
_all_derivatives: ContextVar[bool] = ContextVar("all_derivatives", default=False)


@contextmanager
def by_xla(all_derivatives: bool = False) -> Iterator[None]:
    """Within it, series that are traced are evaluated by XLA, whatever the device.

    Args:
      all_derivatives: leaves derivatives to JAX, in forward and reverse mode and of any order,
        at more time and memory. Ours are first ones in reverse mode, and by XLA derivatives
        of those. Others raise TypeError: with a line about this function, or, where JAX traces
        first (`jax.linearize`, `jax.jvp` of a `jax.jit`), with its own about `custom_vjp`.
    """
    tokens = _force_xla.set(True), _all_derivatives.set(all_derivatives)
    try:
        yield
    finally:
        _force_xla.reset(tokens[0])
        _all_derivatives.reset(tokens[1])


def derivatives_by_jax() -> bool:
    """Whether JAX differentiates what XLA evaluates, and not we."""
    return _all_derivatives.get()


def evaluation() -> str:
    """How series in float32 are evaluated here, in words, for a log."""
    if by_kernels(np.dtype(np.float32)):
        return "compiled CPU kernels"
    if jax.default_backend() == "cpu" and not _force_xla.get():
        return f"XLA, slower than the compiled kernels ({native.why_not()})"
    return "XLA"


def by_kernels(dtype: np.dtype[Any]) -> bool:
    """The one place that chooses: compiled kernels on a CPU in float32, or else XLA.

    On two CPU cores the kernels are 2 to 4 times faster than XLA at every size that was tried
    (docs/explanation/speed.md); XLA alone runs on accelerators, in float64, and twice
    differentiable.
    """
    if _force_xla.get() or jax.default_backend() != "cpu" or dtype != jnp.float32:
        return False
    return not native.why_not()
