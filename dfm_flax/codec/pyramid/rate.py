"""Bits of latents while a machine trains: Laplace distributions over whole numbers."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Float

from dfm_flax.codec.laplace import WIDTHS
from dfm_flax.typing import AnyArray

LOG_SCALES = (-WIDTHS / 8, WIDTHS / 8)  # log2 of the scales that there are tables for


def laplace_bits(
    values: Float[AnyArray, "latents"],
    means: Float[AnyArray, "latents"],
    log_scales: Float[AnyArray, "latents"],
) -> Float[jax.Array, "latents"]:
    """-log2 of the mass of a Laplace distribution within 1/2 of each value.

    Args:
      log_scales: log2 of the scale b of exp(-|x - mean| / b) / (2 b), clipped to `LOG_SCALES`.
    """
    rates = jnp.exp2(-jnp.clip(log_scales, *LOG_SCALES))
    distances = jnp.abs(values - means)
    near = distances - 0.5
    # Beyond 1/2 both tails are on one side, and the mass is exp(-near rate) times a constant.
    outside = near * rates / math.log(2) - jnp.log2(-jnp.expm1(-rates) / 2)
    tails = jnp.exp(jnp.minimum(near, 0.0) * rates) + jnp.exp(-(distances + 0.5) * rates)
    # Not 0 where it is not taken, or its gradient would be no number.
    inside = -jnp.log2(jnp.where(near < 0, 1 - tails / 2, 1.0))
    return jnp.where(near < 0, inside, outside)


def soft_round(
    values: Float[AnyArray, "*shape"], temperature: float | Float[AnyArray, ""]
) -> Float[jax.Array, "*shape"]:
    """Rounding that has a gradient: exact at temperature 0, nothing at large ones.

    Agustsson and Theis, "Universally Quantized Neural Compression", 2020, equation 12.
    """
    center = jnp.floor(values) + 0.5
    return center + 0.5 * jnp.tanh((values - center) / temperature) / jnp.tanh(0.5 / temperature)
