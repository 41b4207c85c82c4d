"""The series on a CPU by compiled kernels: what kernels/series.cc offers, as JAX functions.

XLA calls the kernels on its own threads. They work tile by tile, so that the basis of a
position never leaves the cache; docs/results/speed.md has the measurements.
"""

import ctypes
import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from dfm_flax.typing import AnyArray

_TARGETS = [
    kernel + direction
    for kernel in ("Matrix", "Series", "Additive")
    for direction in ("Forward", "Backward")
]


NO_SUCH_DERIVATIVE = (
    "series have first derivatives in reverse mode (jax.grad, jax.vjp); for all others trace under "
    "`with dfm_flax.fourier.by_xla(all_derivatives=True):`"
)


@functools.cache
def why_not() -> str:
    """Why the kernels cannot be used here; empty where they can."""
    spec = importlib.util.find_spec("dfm_flax.fourier._kernels")
    if spec is None or spec.origin is None:
        return "they were not compiled: install a C++ compiler, then this package again"
    library = ctypes.CDLL(spec.origin)
    if not library.Supported():
        return "this processor has no AVX2"
    for name in _TARGETS:
        jax.ffi.register_ffi_target(
            _target(name), jax.ffi.pycapsule(getattr(library, name)), platform="cpu"
        )
    return ""


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def tensor_product_matrix(
    coefficients: Float32[AnyArray, "rows n"], m: int, max_frequency: int
) -> Float32[jax.Array, "(rows+1)//2 2*n"]:
    """`tensor_products.tensor_product_matrix` in float32."""
    return _matrix_forward(coefficients, m, max_frequency)[0]


def _matrix_forward(
    coefficients: Float32[AnyArray, "rows n"], m: int, max_frequency: int
) -> tuple[Float32[jax.Array, "(rows+1)//2 2*n"], None]:
    rows, n = coefficients.shape
    shape = (rows + 1) // 2, 2 * n
    (matrix,) = _call(
        "MatrixForward", (shape,), coefficients, coordinates=m, frequency=max_frequency
    )
    return matrix, None


def _matrix_backward(
    m: int, max_frequency: int, _: None, g: Float32[jax.Array, "frequencies columns"]
) -> tuple[Float32[jax.Array, "2*frequencies-1 columns//2"]]:
    shape = 2 * g.shape[0] - 1, g.shape[1] // 2
    (d_coefficients,) = _call("MatrixBackward", (shape,), g, coordinates=m, frequency=max_frequency)
    return (d_coefficients,)


tensor_product_matrix.defvjp(_matrix_forward, _matrix_backward)


# What the gradient needs: the arguments, and sums over the frequencies but for the last factor.
_SeriesResiduals = tuple[
    Float32[AnyArray, "m points"],
    Float32[AnyArray, "frequencies columns"],
    Float32[AnyArray, "columns points"],
]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def series(
    x: Float32[AnyArray, "m points"],
    matrix: Float32[AnyArray, "frequencies columns"],
    max_frequency: int,
) -> Float32[jax.Array, "columns//2 points"]:
    """`tensor_products.series` in float32."""
    return _series_forward(x, matrix, max_frequency)[0]


def _series_forward(
    x: Float32[AnyArray, "m points"],
    matrix: Float32[AnyArray, "frequencies columns"],
    max_frequency: int,
) -> tuple[Float32[jax.Array, "columns//2 points"], _SeriesResiduals]:
    columns, positions = matrix.shape[1], x.shape[1]
    shapes = (columns // 2, positions), (columns, positions)
    y, z = _call("SeriesForward", shapes, x, matrix, frequency=max_frequency)
    return y, (x, matrix, z)


def _series_backward(
    max_frequency: int, residuals: _SeriesResiduals, g: Float32[jax.Array, "n points"]
) -> tuple[Float32[jax.Array, "m points"], Float32[jax.Array, "frequencies columns"]]:
    x, matrix, z = residuals
    d_x, d_matrix = _call(
        "SeriesBackward", (x.shape, matrix.shape), x, matrix, z, g, frequency=max_frequency
    )
    return d_x, d_matrix


series.defvjp(_series_forward, _series_backward)


_AdditiveResiduals = tuple[Float32[AnyArray, "m points"], Float32[AnyArray, "rows n"]]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def additive(
    x: Float32[AnyArray, "m points"], weights: Float32[AnyArray, "rows n"], max_frequency: int
) -> Float32[jax.Array, "n points"]:
    """`harmonics.additive` in float32."""
    return _additive_forward(x, weights, max_frequency)[0]


def _additive_forward(
    x: Float32[AnyArray, "m points"], weights: Float32[AnyArray, "rows n"], max_frequency: int
) -> tuple[Float32[jax.Array, "n points"], _AdditiveResiduals]:
    shapes = ((weights.shape[1], x.shape[1]),)
    (y,) = _call("AdditiveForward", shapes, x, weights, frequency=max_frequency)
    return y, (x, weights)


def _additive_backward(
    max_frequency: int, residuals: _AdditiveResiduals, g: Float32[jax.Array, "n points"]
) -> tuple[Float32[jax.Array, "m points"], Float32[jax.Array, "rows n"]]:
    x, weights = residuals
    d_x, d_weights = _call(
        "AdditiveBackward", (x.shape, weights.shape), x, weights, g, frequency=max_frequency
    )
    return d_x, d_weights


additive.defvjp(_additive_forward, _additive_backward)


def _call(
    name: str,
    shapes: Sequence[tuple[int, ...]],
    *arguments: Float32[AnyArray, "..."],
    **attributes: int,
) -> tuple[Float32[jax.Array, "..."], ...]:
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    numbers = {key: np.int64(value) for key, value in attributes.items()}

    @jax.custom_jvp
    def call(*arguments: Float32[AnyArray, "..."]) -> tuple[Float32[jax.Array, "..."], ...]:
        run = jax.ffi.ffi_call(_target(name), results, vmap_method="broadcast_all")
        return tuple(run(*arguments, **numbers))

    @call.defjvp
    def refuse(primals: Any, tangents: Any) -> Any:
        raise TypeError(NO_SUCH_DERIVATIVE)

    return call(*arguments)


def _target(name: str) -> str:
    return f"dfm_flax_{name}"
