"""Image generators: a decoder of latents, and an encoder unless a table holds the latents."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dfm_flax.models.decoders import Decoder, PixelDecoder
from dfm_flax.models.mlp import Encoder


class ImageGenerator(nn.Module):
    """Latents to images and, with an encoder, images to latents.

    Attributes:
      decoder: latents to images.
      encoder: images to latents, or to means and log variances of latents; None where the
        latents are rows of a table (thesis, algorithm 2; with an encoder, algorithm 3).
      variational: whether the encoder gives means and log variances.
      learned_variance: adds the parameter `log_variance`, that of all pixels around the
        decoded image.
    """

    decoder: Decoder | PixelDecoder
    encoder: Encoder | None = None
    variational: bool = False
    learned_variance: bool = False

    def setup(self):
        if self.learned_variance:
            self.log_variance = self.param("log_variance", nn.initializers.zeros_init(), ())

    def encode(self, images: jax.Array) -> jax.Array:
        """Latents [B, L] of images [B, H, W, C] in [-1, 1]; their means, if variational."""
        return self.posterior(images)[0] if self.variational else self._encoder(images)

    def posterior(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Means and log variances [B, L] of the latents of images [B, H, W, C] in [-1, 1]."""
        mean, log_variance = jnp.split(self._encoder(images), 2, axis=-1)
        return mean, log_variance

    def decode(self, latents: jax.Array, index: jax.Array, height: int, width: int) -> jax.Array:
        """Colors [B, P, C] in [-1, 1] of the pixels `index` [P] of a grid, from latents [B, L]."""
        return self.decoder(latents, index, height, width)

    def _encoder(self, images: jax.Array) -> jax.Array:
        if self.encoder is None:
            raise ValueError("a model whose latents are rows of a table has no encoder")
        return self.encoder(images)
