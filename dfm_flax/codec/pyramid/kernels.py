"""Compiled CPU kernels of training: synthesis, filter and rate, as JAX functions with gradients.

What they compute is written down in JAX in `network`, `filter` and `rate`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from dfm_flax import native_library
from dfm_flax.codec.pyramid.geometry import Values
from dfm_flax.fourier.series import by_kernels
from dfm_flax.typing import AnyArray

_TARGETS = ("FilterForward", "FilterBackward", "SynthesisForward", "SynthesisBackward", "Rate")

# Of a machine: scales, first, last, linear, and bias or levels.
Arrays = tuple[Float32[AnyArray, "..."], ...]


def chosen() -> bool:
    """Whether the kernels are used here, for float32."""
    return by_kernels(np.dtype(np.float32)) and _registered()


@functools.cache
def _registered() -> bool:
    library, _ = native_library.load("dfm_flax.codec.pyramid._kernels")
    if library is None:
        return False
    for name in _TARGETS:
        capsule = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(_target(name), capsule, platform="cpu")
    return True


@jax.custom_vjp
def filtered(
    picture: Float32[AnyArray, "channels height width"],
    weights: Float32[AnyArray, "channels 3 3 channels"],
) -> Float32[jax.Array, "channels height width"]:
    """`filter.filtered`."""
    result: Float32[jax.Array, "channels height width"] = _call(
        "FilterForward", _like(picture), picture, weights
    )
    return result


def _filtered(
    picture: Float32[AnyArray, "channels height width"],
    weights: Float32[AnyArray, "channels 3 3 channels"],
) -> tuple[Float32[jax.Array, "channels height width"], Arrays]:
    return filtered(picture, weights), (picture, weights)


def _filtered_backward(
    residuals: Arrays, g: Float32[AnyArray, "channels height width"]
) -> tuple[Float32[jax.Array, "..."], ...]:
    return tuple(_call("FilterBackward", [_like(array) for array in residuals], *residuals, g))


filtered.defvjp(_filtered, _filtered_backward)


@jax.custom_vjp
def synthesis(values: Values, arrays: Arrays) -> Float32[jax.Array, "channels height width"]:
    """`Network.draw`."""
    shape = jax.ShapeDtypeStruct((arrays[-1].size, *values[0].shape), jnp.float32)
    result: Float32[jax.Array, "channels height width"] = _call(
        "SynthesisForward", shape, *arrays, *values
    )
    return result


def _synthesis(
    values: Values, arrays: Arrays
) -> tuple[Float32[jax.Array, "channels height width"], tuple[Values, Arrays]]:
    return synthesis(values, arrays), (values, arrays)


def _synthesis_backward(
    residuals: tuple[Values, Arrays], g: Float32[AnyArray, "channels height width"]
) -> tuple[Values, Arrays]:
    values, arrays = residuals
    shapes = [_like(array) for array in (*arrays, *values)]
    results = _call("SynthesisBackward", shapes, *arrays, g, *values)
    return tuple(results[len(arrays) :]), tuple(results[: len(arrays)])


synthesis.defvjp(_synthesis, _synthesis_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def bits(
    numbers: Float32[AnyArray, "latents"],
    arrays: Arrays,
    shapes: tuple[tuple[int, int], ...],
    neighbors: tuple[tuple[int, int], ...],
    fineness: tuple[int, ...],
) -> Float32[jax.Array, ""]:
    """`Network.bits`, of grids of these shapes one after the other."""
    return _bits(numbers, arrays, shapes, neighbors, fineness)[0]


def _bits(
    numbers: Float32[AnyArray, "latents"],
    arrays: Arrays,
    shapes: tuple[tuple[int, int], ...],
    neighbors: tuple[tuple[int, int], ...],
    fineness: tuple[int, ...],
) -> tuple[Float32[jax.Array, ""], Arrays]:
    results = [jax.ShapeDtypeStruct((), jnp.float32), *map(_like, (numbers, *arrays))]
    heights, widths = np.array(shapes, np.int64).T.copy()
    rows, columns = np.array(neighbors, np.int64).T.copy()
    total, *gradients = _call(
        "Rate",
        results,
        numbers,
        *arrays,
        heights=heights,
        widths=widths,
        fineness=np.array(fineness, np.int64),
        rows=rows,
        columns=columns,
    )
    return total, tuple(gradients)


def _bits_backward(
    shapes: tuple[tuple[int, int], ...],
    neighbors: tuple[tuple[int, int], ...],
    fineness: tuple[int, ...],
    gradients: Arrays,
    g: Float32[AnyArray, ""],
) -> tuple[Float32[jax.Array, "latents"], Arrays]:
    d_numbers, *d_arrays = (jnp.multiply(g, gradient) for gradient in gradients)
    return d_numbers, tuple(d_arrays)


bits.defvjp(_bits, _bits_backward)


def _call(name: str, results: Any, *arguments: Float[AnyArray, "..."], **attributes: Any) -> Any:
    run: Any = jax.ffi.ffi_call(_target(name), results)
    return run(*arguments, **attributes)


def _like(array: Float[AnyArray, "..."]) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, jnp.float32)


def _target(name: str) -> str:
    return f"dfm_flax_{name}"
