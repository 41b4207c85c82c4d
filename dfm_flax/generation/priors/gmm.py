"""A mixture of up to 100 Gaussians, by far the nearest; its first use takes a minute."""

import warnings

import numpy as np
from jaxtyping import Float

from dfm_flax.errors import UsageError
from dfm_flax.generation.mixture import Mixture, jitter

_MOST_COMPONENTS = 100
_LATENTS_A_COMPONENT = 20  # for each entry of a latent: fewer do not tell a covariance
_ROUNDS = 30  # of expectation maximization


class GaussianMixture(Mixture):
    """A Gaussian with full covariance for each 20 L latents, 100 at most.

    They are fitted by expectation maximization from a start by k-means++.
    """

    @classmethod
    def fit(cls, latents: Float[np.ndarray, "latents latent"], seed: int = 0) -> "GaussianMixture":
        from sklearn import mixture  # takes a second to import
        from sklearn.exceptions import ConvergenceWarning

        if len(latents) < 2:
            raise UsageError(f"prior 'gmm': {len(latents)} latents have no covariance")
        components = len(latents) // (_LATENTS_A_COMPONENT * latents.shape[1])
        model = mixture.GaussianMixture(
            max(1, min(components, _MOST_COMPONENTS)),
            reg_covar=jitter(np.asarray(latents, np.float64)),
            max_iter=_ROUNDS,
            init_params="k-means++",
            random_state=seed,
        )
        with warnings.catch_warnings():
            # After these rounds a mixture is good, whether they converged or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(np.asarray(latents, np.float32))
        return cls(model.weights_, model.means_, np.linalg.cholesky(model.covariances_))
