"""How far latents are from N(0, I): the Cramér-Wold distance (Knop et al. 2020, arXiv:1805.09235).

A distribution is known by what it is along all lines. The distance is the squared one between
the densities along a line, smoothed by a Gaussian, as a mean over all lines. For samples on one
side and N(0, I) on the other it has a closed form, so no lines are drawn.
"""

import jax.numpy as jnp
from jaxtyping import Float

from dfm_flax.training.losses import Scalar
from dfm_flax.typing import AnyArray

FEWEST_NUMBERS = 2  # of a latent, for which the closed form holds


def cramer_wold_distance(latents: Float[AnyArray, "batch latent"]) -> Scalar:
    """The squared distance of latents from N(0, I), times 2 sqrt(pi); equation 12 of the paper.

    The smoothing is Silverman's for so many draws from N(0, 1). The means over lines are those of
    many dimensions, within 0.6% at 32 numbers a latent, 2% at 10 and 15% at 3.
    """
    latents = jnp.asarray(latents)
    num, size = latents.shape
    smoothing = (4 / (3 * num)) ** 0.4
    squares = jnp.sum(latents**2, axis=1)
    between = squares[:, None] + squares - 2 * latents @ latents.T
    lines = 2 * size - 3
    among = jnp.mean((smoothing + jnp.maximum(between, 0) / lines) ** -0.5)
    across = jnp.mean((smoothing + 0.5 + squares / lines) ** -0.5)
    return among + (1 + smoothing) ** -0.5 - 2 * across
