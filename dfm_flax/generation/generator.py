"""What an image generator is: latents to images, images to latents, and a loss."""

from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer, PRNGKeyArray
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.models.mlp import ACTIVATIONS, Encoder
from dfm_flax.registry import Registry
from dfm_flax.training.losses import Metrics, Scalar
from dfm_flax.typing import AnyArray


@dataclass(frozen=True)
class ImageShape:
    """Size of the images of a data set, in pixels, and their channels."""

    height: int
    width: int
    channels: int


@flax.struct.dataclass
class ImageBatch:
    """What the loss of a generator gets.

    Attributes:
      images: in [-1, 1].
      noise: a draw from N(0, I) for each image.
      latents: those of the images where a table holds them; None with an encoder.
    """

    images: Float[AnyArray, "batch height width channels"]
    noise: Float[AnyArray, "batch latent"]
    latents: Float[AnyArray, "batch latent"] | None = None


class Generator(nn.Module):
    """The base of all image generators; `generators/` has ours, a file each.

    A subclass adds its own settings as attributes, and gives `settings`, `from_config` and
    `loss`. docs/how-to/extend.md adds one from outside of the package.

    Attributes:
      decoder: a module that maps latents [B, L], pixel indices [P], height and width to colors
        [B, P, C] in [-1, 1].
      encoder: images to latents; None where the latents are rows of a table (thesis, algorithm
        2; with an encoder, algorithm 3).
      native_prior: the prior that it is made for.
    """

    decoder: nn.Module
    encoder: nn.Module | None = None

    native_prior: ClassVar[str] = "gaussian"

    @classmethod
    def settings(cls) -> ConfigDict:
        """Its own settings with their defaults, beside those that all generators have."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: ConfigDict, shape: ImageShape) -> "Generator":
        """The generator of a config, for images of a shape.

        Raises:
          UsageError: its settings make no sense.
        """
        raise NotImplementedError

    def encode(
        self, images: Float[AnyArray, "batch height width channels"]
    ) -> Float[jax.Array, "batch latent"]:
        """Latents of images in [-1, 1].

        Raises:
          ValueError: the latents are rows of a table.
        """
        if self.encoder is None:
            raise ValueError("a model whose latents are rows of a table has no encoder")
        latents: Any = self.encoder(images)
        return latents

    def decode(
        self,
        latents: Float[AnyArray, "batch latent"],
        index: Integer[AnyArray, "points"],
        height: int,
        width: int,
    ) -> Float[jax.Array, "batch points channels"]:
        """Colors in [-1, 1] of the pixels `index` of a grid, from latents."""
        colors: Any = self.decoder(latents, index, height, width)
        return colors

    @nn.nowrap
    def loss(self, params: Any, batch: ImageBatch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        """What it is trained for, a mean over the batch, and metrics.

        Among the metrics is "mse": that of colors in [-1, 1], over pixels and channels. The key
        is the same on all devices.
        """
        raise NotImplementedError

    @nn.nowrap
    def num_products(self, num_parameters: int, shape: ImageShape) -> int:
        """Products that an image of a training step takes at least: of each parameter, and more."""
        return num_parameters

    @nn.nowrap
    def latents_of(self, params: Any, batch: ImageBatch) -> Float[AnyArray, "batch latent"]:
        """The latents of a batch: the table's, or the encoder's."""
        if batch.latents is not None:
            return batch.latents
        return self.run(params, batch.images, method="encode")

    @nn.nowrap
    def run(self, params: Any, *arguments: Any, method: Any) -> Any:
        """A method of this module, under some parameters."""
        return self.apply({"params": params}, *arguments, method=method)


GENERATORS: Registry[type[Generator]] = Registry.of_folder(
    "config: model.name", "dfm_flax.generation.generators", Generator
)


def make_generator(config: ConfigDict, shape: ImageShape) -> Generator:
    """The generator that a config names.

    Raises:
      UsageError: there is none of that name, or its settings make no sense.
    """
    model = config.model
    if model.latent_size < 1:
        raise UsageError(f"config: model.latent_size={model.latent_size}: at least 1")
    if model.latents not in ("table", "encoder"):
        raise UsageError(f"config: model.latents={model.latents!r} is not one of table, encoder")
    if model.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise UsageError(f"config: model.activation={model.activation!r} is not one of {known}")
    for key in ("hidden", "encoder_hidden"):
        if min(model[key], default=1) < 1:
            raise UsageError(f"config: model.{key}={model[key]}: each layer has 1 unit or more")
    if model.table_variance < 0:
        raise UsageError(f"config: model.table_variance={model.table_variance}: 0 or more")
    return GENERATORS.get(model.name).from_config(config, shape)


def make_encoder(model: ConfigDict, outputs: int, variance: float = 0.0) -> Encoder | None:
    """The encoder of a section `model`; None where a table holds the latents.

    Args:
      outputs: numbers for each image.
      variance: see `models.mlp.Mlp`.
    """
    if model.latents == "table":
        return None
    return Encoder(model.encoder_hidden, outputs, model.activation, variance)


def initial_params(
    model: Generator, rng: PRNGKeyArray, latent_size: int, shape: ImageShape
) -> dict[str, Any]:
    """The parameters of a generator as they start; those of the encoder are under 'encoder'."""

    def touch(model: Generator) -> None:
        if model.encoder is not None:
            model.encode(jnp.zeros((1, shape.height, shape.width, shape.channels)))
        model.decode(jnp.zeros((1, latent_size)), jnp.zeros(1, int), shape.height, shape.width)

    return model.init(rng, method=touch)["params"]
