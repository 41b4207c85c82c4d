"""Shuffled batches of a data set, for a generator."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer, PRNGKeyArray, UInt8

from dfm_flax.data.shuffling import shuffled_batch
from dfm_flax.generation.generator import ImageBatch
from dfm_flax.typing import AnyArray, Count


@flax.struct.dataclass
class Drawn:
    """What a batch consists of: indices of images, and noise for their latents."""

    index: Integer[AnyArray, "batch"]
    noise: Float[AnyArray, "batch latent"]


@flax.struct.dataclass
class ImageFeed:
    """All images of a data set; each epoch has every image once.

    Attributes:
      images: of the whole set.
      order: the random key that the order of each epoch follows from.
      batch_size: images of a step.
      latent_size: numbers of a latent.
    """

    images: UInt8[AnyArray, "*devices images height width channels"]
    order: Any  # uint32 [2], of several devices a row each
    batch_size: int = flax.struct.field(pytree_node=False)
    latent_size: int = flax.struct.field(pytree_node=False)

    def draw(self, rng: PRNGKeyArray, step: Count) -> Drawn:
        """See `training.feed.Feed`."""
        index = shuffled_batch(self.order, step, self.images.shape[0], self.batch_size)
        noise_rng = jax.random.split(rng, 3)[0]
        return Drawn(index, jax.random.normal(noise_rng, (self.batch_size, self.latent_size)))

    def at(self, drawn: Drawn) -> ImageBatch:
        """See `training.feed.Feed`."""
        images = self.images[drawn.index].astype(jnp.float32) / 127.5 - 1
        return ImageBatch(images, drawn.noise)
