"""A 3x3 filter over a picture with all its channels, by a compiled kernel or by XLA.

The picture goes on beyond its edges by its border.
"""

import ctypes
import functools
import importlib.util

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from dfm_flax.fourier.series import by_kernels
from dfm_flax.typing import AnyArray

_Pictures = tuple[Float32[AnyArray, "channels height width"], Float32[AnyArray, "channels 3 3 channels"]]


def filtered(
    picture: Float[AnyArray, "channels height width"],
    weights: Float[AnyArray, "channels 3 3 channels"],
) -> Float[jax.Array, "channels height width"]:
    """out[o, y, x] = sum over a, b, c of weights[o, a, b, c] picture[c, y + a - 1, x + b - 1]."""
    if by_kernels(jnp.result_type(picture, weights)) and _has_kernel():
        return _by_kernel(picture, weights)
    return _by_xla(picture, weights)


def _by_xla(
    picture: Float[AnyArray, "channels height width"],
    weights: Float[AnyArray, "channels 3 3 channels"],
) -> Float[jax.Array, "channels height width"]:
    continued = jnp.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return jax.lax.conv_general_dilated(
        continued[None],
        weights.transpose(0, 3, 1, 2),
        (1, 1),
        "VALID",
        precision=jax.lax.Precision.HIGHEST,
    )[0]


@jax.custom_vjp
def _by_kernel(
    picture: Float32[AnyArray, "channels height width"],
    weights: Float32[AnyArray, "channels 3 3 channels"],
) -> Float32[jax.Array, "channels height width"]:
    result = jax.ShapeDtypeStruct(picture.shape, jnp.float32)
    return jax.ffi.ffi_call("dfm_flax_FilterForward", result)(picture, weights)


def _forward(
    picture: Float32[AnyArray, "channels height width"],
    weights: Float32[AnyArray, "channels 3 3 channels"],
) -> tuple[Float32[jax.Array, "channels height width"], _Pictures]:
    return _by_kernel(picture, weights), (picture, weights)


def _backward(
    residuals: _Pictures, g: Float32[jax.Array, "channels height width"]
) -> _Pictures:
    results = [jax.ShapeDtypeStruct(array.shape, jnp.float32) for array in residuals]
    d_picture, d_weights = jax.ffi.ffi_call("dfm_flax_FilterBackward", results)(*residuals, g)
    return d_picture, d_weights


_by_kernel.defvjp(_forward, _backward)


@functools.cache
def _has_kernel() -> bool:
    """Whether the kernel was compiled, for this processor; registers it with XLA."""
    spec = importlib.util.find_spec("dfm_flax.codec.pyramid._filter")
    if spec is None or spec.origin is None:
        return False
    library = ctypes.CDLL(spec.origin)
    if not library.Supported():
        return False
    for name in ("FilterForward", "FilterBackward"):
        capsule = jax.ffi.pycapsule(getattr(library, name))
        jax.ffi.register_ffi_target(f"dfm_flax_{name}", capsule, platform="cpu")
    return True
