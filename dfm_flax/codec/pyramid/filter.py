"""A 3x3 filter over all channels of a picture, which goes on beyond its edges by its border."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from dfm_flax.codec.pyramid import kernels
from dfm_flax.typing import AnyArray


def filtered(
    picture: Float[AnyArray, "channels height width"],
    weights: Float[AnyArray, "channels 3 3 channels"],
) -> Float[jax.Array, "channels height width"]:
    """out[o, y, x] = sum over a, b, c of weights[o, a, b, c] picture[c, y + a - 1, x + b - 1]."""
    if kernels.chosen():
        return kernels.filtered(picture, weights)
    continued = jnp.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return jax.lax.conv_general_dilated(
        continued[None],
        jnp.transpose(weights, (0, 3, 1, 2)),
        (1, 1),
        "VALID",
        precision=jax.lax.Precision.HIGHEST,
    )[0]
