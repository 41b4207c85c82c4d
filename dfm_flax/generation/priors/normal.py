"""Independent normals with the mean and deviation of each entry; of a VAE, N(0, I)."""

import numpy as np
from jaxtyping import Float

from dfm_flax.generation.mixture import Mixture


class Normal(Mixture):
    """N(0, I) moved and scaled to the mean and deviation of each entry."""

    @classmethod
    def fit(cls, latents: Float[np.ndarray, "latents latent"], seed: int = 0) -> "Normal":
        latents = np.asarray(latents, np.float64)
        return cls(np.ones(1), latents.mean(axis=0)[None], np.diag(latents.std(axis=0))[None])
