"""N(0, I), whatever the latents are; a variational autoencoder is trained for it."""

from typing import Self

import numpy as np
from numpy.typing import NDArray

from dfm_flax.generation.mixture import Mixture


class StandardNormal(Mixture):
    """N(0, I)."""

    needs_latents = False

    @classmethod
    def fit(cls, latents: NDArray[np.floating], seed: int = 0) -> Self:
        size = latents.shape[1]
        return cls(np.ones(1), np.zeros((1, size)), np.eye(size)[None])
