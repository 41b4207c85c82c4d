"""The additive series through XLA: a matrix times the harmonics of each coordinate."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from dfm_flax.fourier.series import derivatives_by_jax
from dfm_flax.fourier.trigonometry import sin_cos_pi
from dfm_flax.typing import AnyArray

# What the gradient needs: the harmonics, and the weights.
_Residuals = tuple[Float[jax.Array, "rows points"], Float[AnyArray, "rows n"]]


def additive(
    x: Float[AnyArray, "m points"], weights: Float[AnyArray, "rows n"], max_frequency: int
) -> Float[jax.Array, "n points"]:
    """The additive series without a_0: 2 m F rows."""
    if derivatives_by_jax():
        return _additive_forward(x, weights, max_frequency)[0]
    return _additive(x, weights, max_frequency)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _additive(
    x: Float[AnyArray, "m points"], weights: Float[AnyArray, "rows n"], max_frequency: int
) -> Float[jax.Array, "n points"]:
    return _additive_forward(x, weights, max_frequency)[0]


def _additive_forward(
    x: Float[AnyArray, "m points"], weights: Float[AnyArray, "rows n"], max_frequency: int
) -> tuple[Float[jax.Array, "n points"], _Residuals]:
    sin, cos = sin_cos_pi(2 * x)
    harmonics = [(cos, sin)]
    for _ in range(1, max_frequency):
        c, s = harmonics[-1]
        harmonics.append((c * cos - s * sin, c * sin + s * cos))
    features = jnp.concatenate([c for c, _ in harmonics] + [s for _, s in harmonics])
    y: Any = weights.T @ features
    return y, (features, weights)


def _additive_backward(
    max_frequency: int, residuals: _Residuals, g: Float[jax.Array, "n points"]
) -> tuple[Float[jax.Array, "m points"], Float[jax.Array, "rows n"]]:
    features, weights = residuals
    d_features: Any = weights @ g
    cos, sin = jnp.split(features, 2)
    d_cos, d_sin = jnp.split(d_features, 2)
    terms = (cos * d_sin - sin * d_cos).reshape(max_frequency, -1, g.shape[-1])
    d_x = functools.reduce(jnp.add, [f * term for f, term in enumerate(terms, start=1)])
    return 2 * math.pi * d_x, features @ g.T


_additive.defvjp(_additive_forward, _additive_backward)
