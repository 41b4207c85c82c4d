"""A Gaussian with full covariance."""

import numpy as np
from jaxtyping import Float

from dfm_flax.errors import UsageError
from dfm_flax.generation.mixture import Mixture, jitter


class Gaussian(Mixture):
    """A Gaussian with the mean and covariance of the latents."""

    @classmethod
    def fit(cls, latents: Float[np.ndarray, "latents latent"], seed: int = 0) -> "Gaussian":
        latents = np.asarray(latents, np.float64)
        if len(latents) < 2:
            raise UsageError(f"prior 'gaussian': {len(latents)} latents have no covariance")
        identity = jitter(latents) * np.eye(latents.shape[1])
        covariance = np.cov(latents.T).reshape(identity.shape)
        factor = np.linalg.cholesky(covariance + identity)
        return cls(np.ones(1), latents.mean(axis=0)[None], factor[None])
