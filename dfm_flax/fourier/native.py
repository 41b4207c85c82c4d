"""The series on a CPU by compiled kernels: what kernels/series.cc offers, as JAX functions.

XLA calls the kernels on its own threads. They work tile by tile, so that the basis of a
position never leaves the cache; docs/speed.md has the measurements.
"""

import ctypes
import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np

_TARGETS = ("SeriesForward", "SeriesBackward", "AdditiveForward", "AdditiveBackward")


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def series(x: jax.Array, matrix: jax.Array, max_frequency: int) -> jax.Array:
    """`tensor_products.series` in float32: x [m, P], matrix [2n, (F+1)^m] -> y [n, P]."""
    return _series_forward(x, matrix, max_frequency)[0]


def _series_forward(x, matrix, max_frequency):
    rows, positions = matrix.shape[0], x.shape[-1]
    shapes = (rows // 2, positions), (rows, positions)
    y, z = _call("SeriesForward", shapes, max_frequency, x, matrix)
    return y, (x, matrix, z)


def _series_backward(max_frequency, residuals, g):
    x, matrix, z = residuals
    return _call("SeriesBackward", (x.shape, matrix.shape), max_frequency, x, matrix, z, g)


series.defvjp(_series_forward, _series_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def additive(x: jax.Array, weights: jax.Array, max_frequency: int) -> jax.Array:
    """`harmonics.additive` in float32: x [m, P], weights [n, 2 m F] -> y [n, P]."""
    return _additive_forward(x, weights, max_frequency)[0]


def _additive_forward(x, weights, max_frequency):
    shapes = ((weights.shape[0], x.shape[-1]),)
    (y,) = _call("AdditiveForward", shapes, max_frequency, x, weights)
    return y, (x, weights)


def _additive_backward(max_frequency, residuals, g):
    x, weights = residuals
    return _call("AdditiveBackward", (x.shape, weights.shape), max_frequency, x, weights, g)


additive.defvjp(_additive_forward, _additive_backward)


def _call(name: str, shapes, max_frequency: int, *arguments) -> tuple[jax.Array, ...]:
    results = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    call = jax.ffi.ffi_call(_target(name), results, vmap_method="broadcast_all")
    return tuple(call(*arguments, frequency=np.int64(max_frequency)))


def _target(name: str) -> str:
    return f"dfm_flax_{name}"
