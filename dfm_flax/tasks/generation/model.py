"""Image generators from a config's `model` section."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import linen as nn
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.decoders import FourierDecoder, PixelDecoder
from dfm_flax.models.generator import ImageGenerator
from dfm_flax.models.mlp import ACTIVATIONS, Encoder

MODELS = ("dfm", "autoencoder", "vae")


@dataclass(frozen=True)
class ImageShape:
    """Size of the images of a data set, in pixels, and their channels."""

    height: int
    width: int
    channels: int


def make_generator(config: ConfigDict, shape: ImageShape) -> ImageGenerator:
    """The model `config.name`.

    'dfm': latents to machines. 'autoencoder': the same with a perceptron straight to pixels.
    'vae': the latter as a variational autoencoder. `config.latents` is 'table' or 'encoder'.

    Raises:
      UsageError: a setting is unknown, or settings do not fit together.
    """
    _check_choice("name", config.name, MODELS)
    _check_choice("latents", config.latents, ("table", "encoder"))
    _check_choice("activation", config.activation, ACTIVATIONS)
    _check_choice("initialization", config.initialization, ("plain", "sane"))
    if config.latent_size < 1:
        raise UsageError(f"--config.model.latent_size={config.latent_size}: at least 1")
    variational = config.name == "vae" or config.get("variational", False)
    if variational and config.latents != "encoder":
        raise UsageError("a VAE has an encoder: use --config.model.latents=encoder")
    if config.name == "vae":
        _check_choice("likelihood", config.likelihood, ("bernoulli", "gaussian"))
    plain = config.initialization == "plain"
    decoder: nn.Module
    if config.name == "dfm":
        decoder = FourierDecoder(
            FourierMachine(channels=shape.channels, **config.machine),
            config.hidden,
            config.activation,
            config.variance,
            sane=not plain,
        )
    else:
        if plain:
            raise UsageError(f"--config.model.initialization=plain is not for {config.name!r}")
        decoder = PixelDecoder(
            shape.height, shape.width, shape.channels, config.hidden, config.activation
        )
    encoder = None
    if config.latents == "encoder":
        encoder = Encoder(
            config.encoder_hidden,
            config.latent_size * (2 if variational else 1),
            config.activation,
            config.variance if plain else 0.0,
        )
    return ImageGenerator(
        decoder,
        encoder,
        variational=variational,
        learned_variance=config.name == "vae" and config.likelihood == "gaussian",
    )


def initial_params(
    model: ImageGenerator, rng: jax.Array, latent_size: int, shape: ImageShape
) -> dict:
    """The parameters of a model as they start; those of the encoder are under 'encoder'."""

    def touch(model: ImageGenerator):
        if model.encoder is not None:
            model.encode(jnp.zeros((1, shape.height, shape.width, shape.channels)))
        model.decode(jnp.zeros((1, latent_size)), jnp.zeros(1, int), shape.height, shape.width)

    return model.init(rng, method=touch)["params"]


def _check_choice(setting: str, value: str, choices) -> None:
    if value not in choices:
        raise UsageError(
            f"--config.model.{setting}={value!r} is not one of {', '.join(map(str, choices))}"
        )
