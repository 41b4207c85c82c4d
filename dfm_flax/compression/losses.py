"""What a machine is trained for: equation 4.7 of the thesis."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from dfm_flax.training.feed import PixelBatch
from dfm_flax.training.losses import Loss, Metrics, Scalar


def mse(model: nn.Module, config: ConfigDict | None = None) -> Loss:
    """The mean squared error over pixels and channels, of colors in [-1, 1] (eq. 4.7).

    It is the metric "mse" as well, which every loss of compression gives: the training curve and
    the PSNR in the log are made of it.
    """

    def loss(params: Any, batch: PixelBatch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        prediction: Any = model.apply({"params": params}, batch.positions)
        error = jnp.mean((prediction - batch.colors) ** 2)
        return error, {"mse": error}

    return loss


LOSSES = {"mse": mse}
