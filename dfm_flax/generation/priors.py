"""Distributions that latents are drawn from, fitted to those of the training images."""

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path

PRIORS = ("normal", "gaussian", "gmm")

_MOST_COMPONENTS = 100
_LATENTS_A_COMPONENT = 20  # for each entry of a latent: fewer do not tell a covariance
_ROUNDS = 30  # of expectation maximization
_JITTER = 1e-5  # added to covariances, relative to the largest variance


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of Gaussians.

    Attributes:
      weights: [K], with sum 1.
      means: [K, L].
      factors: lower triangular [K, L, L], each times its transpose a covariance.
    """

    weights: NDArray
    means: NDArray
    factors: NDArray

    def sample(self, num: int, seed: int) -> NDArray[np.float32]:
        """Draws [num, L]."""
        rng = np.random.default_rng(seed)
        component = rng.choice(len(self.weights), num, p=self.weights)
        normal = rng.normal(size=(num, self.means.shape[1]))
        latents = self.means[component]
        for k in np.unique(component):
            latents[component == k] += normal[component == k] @ self.factors[k].T
        return latents.astype(np.float32)

    def save(self, path: Path, step: int) -> None:
        with atomic_path(path) as temporary:
            np.savez(
                temporary,
                step=step,
                weights=self.weights,
                means=self.means,
                factors=self.factors,
            )

    @classmethod
    def load(cls, path: Path, step: int) -> "Mixture | None":
        """The mixture of a file, or None if there is none for the checkpoint of that step."""
        try:
            with np.load(path) as arrays:
                if arrays["step"] != step:
                    return None
                return cls(arrays["weights"], arrays["means"], arrays["factors"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UsageError(f"{path}: cannot be read, delete it: {error}") from error


def standard_normal(latent_size: int) -> Mixture:
    """N(0, I), the prior of a variational autoencoder."""
    return Mixture(np.ones(1), np.zeros((1, latent_size)), np.eye(latent_size)[None])


def fit_prior(kind: str, latents: NDArray, seed: int = 0) -> Mixture:
    """Fits a distribution to latents [N, L].

    'normal' is N(0, I) moved and scaled to the mean and deviation of each entry; 'gaussian'
    has a full covariance; 'gmm' is a mixture of up to 100 such, one for each 20 L latents,
    fitted by expectation maximization.

    Raises:
      UsageError: another kind, or too few latents.
    """
    if kind not in PRIORS:
        raise UsageError(f"prior {kind!r} is not one of {', '.join(PRIORS)}")
    latents = np.asarray(latents, np.float64)
    jitter = _JITTER * max(np.max(np.var(latents, axis=0)), 1e-12)
    mean = latents.mean(axis=0)[None]
    if kind == "normal":
        return Mixture(np.ones(1), mean, np.diag(latents.std(axis=0))[None])
    if len(latents) < 2:
        raise UsageError(f"prior {kind!r}: {len(latents)} latents have no covariance")
    identity = jitter * np.eye(latents.shape[1])
    if kind == "gaussian":
        covariance = np.cov(latents.T).reshape(identity.shape)
        return Mixture(np.ones(1), mean, np.linalg.cholesky(covariance + identity)[None])
    from sklearn.exceptions import ConvergenceWarning  # takes a second to import
    from sklearn.mixture import GaussianMixture

    components = len(latents) // (_LATENTS_A_COMPONENT * latents.shape[1])
    mixture = GaussianMixture(
        max(1, min(components, _MOST_COMPONENTS)),
        reg_covar=jitter,
        max_iter=_ROUNDS,
        init_params="k-means++",
        random_state=seed,
    )
    with warnings.catch_warnings():
        # After these rounds a mixture is good, whether they converged or not.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(latents.astype(np.float32))
    factors = np.linalg.cholesky(mixture.covariances_)
    return Mixture(mixture.weights_, mixture.means_, factors)
