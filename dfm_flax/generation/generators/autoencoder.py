"""A baseline: a regularized autoencoder whose decoder is a perceptron straight to pixels."""

from typing import Any

import flax.linen as nn
from jaxtyping import PRNGKeyArray
from ml_collections import ConfigDict

from dfm_flax.generation.generator import Generator, ImageBatch, ImageShape, make_encoder
from dfm_flax.generation.losses import check_penalty, penalized_loss
from dfm_flax.models.decoders import PixelDecoder
from dfm_flax.training.losses import Metrics, Scalar


class Autoencoder(Generator):
    """The thesis's losses without its machines: what those give is the difference.

    Attributes: see `penalized_loss`, and `Generator`.
    """

    latent_penalty: float = 0.0
    latent_noise: float = 0.0

    @classmethod
    def settings(cls) -> ConfigDict:
        """See `Generator.settings`."""
        config = ConfigDict()
        config.loss = ConfigDict()
        config.loss.latent_penalty = 1e-3  # lambda of equation 4.8
        config.loss.latent_noise = 0.1  # deviation of the noise on latents that are decoded
        return config

    @classmethod
    def from_config(cls, config: ConfigDict, shape: ImageShape) -> "Autoencoder":
        """See `Generator.from_config`."""
        model, loss = config.model, config.loss
        check_penalty(loss)
        return cls(
            PixelDecoder(shape.height, shape.width, shape.channels, model.hidden, model.activation),
            make_encoder(model, model.latent_size),
            latent_penalty=loss.latent_penalty,
            latent_noise=loss.latent_noise,
        )

    @nn.nowrap
    def loss(self, params: Any, batch: ImageBatch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        """Equation 4.8."""
        return penalized_loss(
            self, params, batch, rng, penalty=self.latent_penalty, noise=self.latent_noise
        )
