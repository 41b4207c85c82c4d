"""Bits of latents while a machine trains: Laplace distributions over whole numbers."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from dfm_flax.typing import AnyArray

LOG_SCALES = (-5.0, 5.0)  # log2 of the scales that there are tables for

_LEAST = 2.0**-20  # probability


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
    upper = _upper_tail(distances + 0.5, rates)
    lower = _upper_tail(distances - 0.5, rates)
    return -jnp.log2(jnp.maximum(lower - upper, _LEAST))


def _upper_tail(
    x: Float[AnyArray, "latents"], rates: Float[AnyArray, "latents"]
) -> Float[jax.Array, "latents"]:
    """The mass above x."""
    return 0.5 + 0.5 * jnp.sign(x) * jnp.expm1(-jnp.abs(x) * rates)


def soft_round(values: Float[AnyArray, "*shape"], temperature: float | Float[AnyArray, ""]) -> Float[
    jax.Array, "*shape"
]:
    """Rounding that has a gradient: exact at temperature 0, nothing at large ones.

    Agustsson and Theis, "Universally Quantized Neural Compression", 2020, equation 12.
    """
    center = jnp.floor(values) + 0.5
    return center + 0.5 * jnp.tanh((values - center) / temperature) / jnp.tanh(0.5 / temperature)

