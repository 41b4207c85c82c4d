"""What a machine is trained for: equation 4.7 of the thesis."""

from typing import Any

from flax import linen as nn
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from dfm_flax.training.feed import PixelBatch
from dfm_flax.training.losses import Loss, Metrics, Scalar, squared_error


def mse(model: nn.Module, config: ConfigDict | None = None) -> Loss:
    """The mean squared error of colors in [-1, 1] (eq. 4.7), see `squared_error`.

    The metric "mse", which every loss of compression gives, is a mean over channels too: the
    training curve and the PSNR in the log are made of it.
    """

    def loss(params: Any, batch: PixelBatch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        prediction: Any = model.apply({"params": params}, batch.positions)
        error, per_channel = squared_error(prediction - batch.colors)
        return error, {"mse": per_channel}

    return loss


LOSSES = {"mse": mse}
