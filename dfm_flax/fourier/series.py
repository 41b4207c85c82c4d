"""Where series are evaluated: by compiled kernels or by XLA.

How, is in `native` (kernels, for CPUs), and in `tensor_products` and `harmonics` (XLA, for
every device).
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
    if by_kernels(np.dtype(np.float32)):
        return "compiled CPU kernels"
    if jax.default_backend() == "cpu" and not _force_xla.get():
        return f"XLA, slower than the compiled kernels ({native.why_not()})"
    return "XLA"


def by_kernels(dtype: np.dtype[Any]) -> bool:
    """The one place that chooses: compiled kernels on a CPU in float32, or else XLA.

    On two CPU cores the kernels are 2 to 4 times faster than XLA at every size that was tried
    (docs/speed.md); XLA alone runs on accelerators, in float64, and twice differentiable.
    """
    if _force_xla.get() or jax.default_backend() != "cpu" or dtype != jnp.float32:
        return False
    return not native.why_not()
