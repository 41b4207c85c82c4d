"""Mixtures of Gaussians: what several priors are, each fitted in its own way."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.special
from jaxtyping import Float, Float32, Float64

from dfm_flax.errors import UsageError
from dfm_flax.generation.prior import Arrays, Prior

_JITTER = 1e-5  # added to covariances, relative to the largest variance


@dataclass(frozen=True, eq=False)
class Mixture(Prior):
    """A mixture of K Gaussians.

    Attributes:
      weights: with sum 1.
      means: one each.
      factors: lower triangular, each times its transpose a covariance.
    """

    weights: Float[np.ndarray, "components"]
    means: Float[np.ndarray, "components latent"]
    factors: Float[np.ndarray, "components latent latent"]

    def sample(self, num: int, seed: int) -> Float32[np.ndarray, "{num} latent"]:
        rng = np.random.default_rng(seed)
        component = rng.choice(len(self.weights), num, p=self.weights)
        normal = rng.normal(size=(num, self.means.shape[1]))
        latents = self.means[component]
        for k in np.unique(component):
            latents[component == k] += normal[component == k] @ self.factors[k].T
        return latents.astype(np.float32)

    def log_prob(
        self, latents: Float[np.ndarray, "latents latent"]
    ) -> Float64[np.ndarray, "latents"]:
        diagonals = np.diagonal(self.factors, axis1=1, axis2=2).astype(np.float64)
        if not diagonals.all():
            raise UsageError("an entry of the latents is constant: there is no density")
        size = self.means.shape[1]
        heights = np.log(diagonals).sum(axis=1) + size / 2 * np.log(2 * np.pi)
        latents = np.asarray(latents, np.float64)
        logs = np.empty((len(self.weights), len(latents)))
        for k, factor in enumerate(self.factors):
            units = scipy.linalg.solve_triangular(factor, (latents - self.means[k]).T, lower=True)
            logs[k] = -np.sum(units**2, axis=0) / 2 - heights[k]
        return scipy.special.logsumexp(logs, axis=0, b=self.weights[:, None])

    def arrays(self) -> Arrays:
        return {"weights": self.weights, "means": self.means, "factors": self.factors}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "Mixture":
        weights, means, factors = (arrays[name] for name in ("weights", "means", "factors"))
        if means.shape[:1] != weights.shape or factors.shape != (*means.shape, *means.shape[1:]):
            shapes = weights.shape, means.shape, factors.shape
            raise ValueError(f"weights, means and factors of shapes {shapes}")
        return cls(weights, means, factors)


def jitter(latents: Float[np.ndarray, "latents latent"]) -> float:
    """What makes covariances of latents positive definite, added to their diagonals."""
    return _JITTER * max(float(np.max(np.var(latents, axis=0))), 1e-12)
