"""A baseline: a regularized autoencoder whose decoder is a perceptron straight to pixels."""

from ml_collections import ConfigDict

from dfm_flax.generation.generator import ImageShape, make_encoder
from dfm_flax.generation.losses import PenalizedGenerator, penalized
from dfm_flax.models.decoders import PixelDecoder


class Autoencoder(PenalizedGenerator):
    """The thesis's losses without its machines: what those give is the difference.

    Attributes: see `losses.penalized_loss`, and `Generator`.
    """

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
        return cls(
            PixelDecoder(shape.height, shape.width, shape.channels, model.hidden, model.activation),
            make_encoder(model, model.latent_size),
            **penalized(loss, shape),
        )
