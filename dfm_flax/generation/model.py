"""Image generators from a config's `model` section."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError, one_line
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.decoders import FourierDecoder, PixelDecoder
from dfm_flax.models.generator import ImageGenerator
from dfm_flax.models.mlp import Encoder


@dataclass(frozen=True)
class ImageShape:
    """Size of the images of a data set, in pixels, and their channels."""

    height: int
    width: int
    channels: int


def make_generator(config: ConfigDict, shape: ImageShape, likelihood: str = "") -> ImageGenerator:
    """The model of a `model` section that has passed `settings.check_settings`.

    'dfm': latents to machines. 'autoencoder': the same with a perceptron straight to pixels.
    'vae': the latter as a variational autoencoder. `config.latents` is 'table' or 'encoder'.

    Args:
      likelihood: of a variational autoencoder; 'gaussian' has a learned variance.

    Raises:
      UsageError: sizes of the machine make no sense.
    """
    if config.latent_size < 1:
        raise UsageError(f"--config.model.latent_size={config.latent_size}: at least 1")
    plain = config.get("initialization") == "plain"
    decoder: nn.Module
    if config.name == "dfm":
        try:
            machine = FourierMachine(channels=shape.channels, **config.machine)
        except ValueError as error:
            raise UsageError(f"config.model.machine: {one_line(error)}") from error
        decoder = FourierDecoder(
            machine,
            config.hidden,
            config.activation,
            config.variance,
            sane=not plain,
        )
    else:
        decoder = PixelDecoder(
            shape.height, shape.width, shape.channels, config.hidden, config.activation
        )
    variational = config.name == "vae"
    encoder = None
    if config.latents == "encoder":
        encoder = Encoder(
            config.encoder_hidden,
            config.latent_size * (2 if variational else 1),
            config.activation,
            config.variance if plain else 0.0,
        )
    learned_variance = variational and likelihood == "gaussian"
    return ImageGenerator(decoder, encoder, variational, learned_variance)


def initial_params(
    model: ImageGenerator, rng: jax.Array, latent_size: int, shape: ImageShape
) -> dict:
    """The parameters of a model as they start; those of the encoder are under 'encoder'."""

    def touch(model: ImageGenerator):
        if model.encoder is not None:
            model.encode(jnp.zeros((1, shape.height, shape.width, shape.channels)))
        model.decode(jnp.zeros((1, latent_size)), jnp.zeros(1, int), shape.height, shape.width)

    return model.init(rng, method=touch)["params"]
