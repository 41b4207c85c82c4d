"""The series on a CPU by compiled kernels: what kernels/series.cc offers, as JAX functions.

XLA calls the kernels on its own threads. They work tile by tile, so that the basis of a
position never leaves the cache; docs/speed.md has the measurements.
"""

import ctypes
import functools
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
def tensor_product_matrix(coefficients: jax.Array, m: int, max_frequency: int) -> jax.Array:
    """`tensor_products.tensor_product_matrix` in float32: [2 (F+1)^m - 1, n] -> [(F+1)^m, 2n]."""
    return _matrix_forward(coefficients, m, max_frequency)[0]


def _matrix_forward(coefficients, m, max_frequency):
    rows, n = coefficients.shape
    shape = (rows + 1) // 2, 2 * n
    (matrix,) = _call(
        "MatrixForward", (shape,), coefficients, coordinates=m, frequency=max_frequency
    )
    return matrix, None


def _matrix_backward(m, max_frequency, _, g):
    shape = 2 * g.shape[0] - 1, g.shape[1] // 2
    return _call("MatrixBackward", (shape,), g, coordinates=m, frequency=max_frequency)


tensor_product_matrix.defvjp(_matrix_forward, _matrix_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def series(x: jax.Array, matrix: jax.Array, max_frequency: int) -> jax.Array:
    """`tensor_products.series` in float32: x [m, P], matrix [(F+1)^m, 2n] -> y [n, P]."""
    return _series_forward(x, matrix, max_frequency)[0]


def _series_forward(x, matrix, max_frequency):
    columns, positions = matrix.shape[1], x.shape[1]
    shapes = (columns // 2, positions), (columns, positions)
    y, z = _call("SeriesForward", shapes, x, matrix, frequency=max_frequency)
    return y, (x, matrix, z)


def _series_backward(max_frequency, residuals, g):
    x, matrix, z = residuals
    return _call(
        "SeriesBackward", (x.shape, matrix.shape), x, matrix, z, g, frequency=max_frequency
    )


series.defvjp(_series_forward, _series_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def additive(x: jax.Array, weights: jax.Array, max_frequency: int) -> jax.Array:
    """`harmonics.additive` in float32: x [m, P], weights [2 m F, n] -> y [n, P]."""
    return _additive_forward(x, weights, max_frequency)[0]


def _additive_forward(x, weights, max_frequency):
    shapes = ((weights.shape[1], x.shape[1]),)
    (y,) = _call("AdditiveForward", shapes, x, weights, frequency=max_frequency)
    return y, (x, weights)


def _additive_backward(max_frequency, residuals, g):
    x, weights = residuals
    return _call(
        "AdditiveBackward", (x.shape, weights.shape), x, weights, g, frequency=max_frequency
    )


additive.defvjp(_additive_forward, _additive_backward)


def _call(name: str, shapes, *arguments, **attributes: int) -> tuple[jax.Array, ...]:
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    numbers = {key: np.int64(value) for key, value in attributes.items()}

    @jax.custom_jvp
    def call(*arguments: jax.Array) -> tuple[jax.Array, ...]:
        run = jax.ffi.ffi_call(_target(name), results, vmap_method="broadcast_all")
        return tuple(run(*arguments, **numbers))

    @call.defjvp
    def refuse(primals: Any, tangents: Any) -> Any:
        raise TypeError(NO_SUCH_DERIVATIVE)

    return call(*arguments)


def _target(name: str) -> str:
    return f"dfm_flax_{name}"
