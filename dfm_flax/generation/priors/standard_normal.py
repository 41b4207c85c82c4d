"""N(0, I), whatever the latents are; a variational autoencoder is trained for it."""

import numpy as np
from jaxtyping import Float

from dfm_flax.generation.mixture import Mixture


class StandardNormal(Mixture):
    """N(0, I)."""

    needs_latents = False

    @classmethod
    def fit(cls, latents: Float[np.ndarray, "latents latent"], seed: int = 0) -> "StandardNormal":
        size = latents.shape[1]
        return cls(np.ones(1), np.zeros((1, size)), np.eye(size)[None])
