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
        config = super().settings()
        for name in ("num_pixels", "jitter"):  # of decoders that draw at any position
            del config.loss[name]
        return config

    @classmethod
    def from_config(cls, config: ConfigDict, shape: ImageShape) -> "Autoencoder":
        """See `Generator.from_config`."""
        model = config.model
        return cls(
            PixelDecoder(shape.height, shape.width, shape.channels, model.hidden, model.activation),
            make_encoder(model, model.latent_size),
            **penalized(config, shape),
        )
