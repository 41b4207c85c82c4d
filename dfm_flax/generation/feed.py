"""Shuffled batches of a data set, for a generator: from the devices' memory, or from a stream.

Both have the same batches, bit for bit.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32, Integer, PRNGKeyArray, UInt8

from dfm_flax.data.image_source import ImageSource
from dfm_flax.data.shuffling import HostOrder, shuffled_batch
from dfm_flax.data.stream import ShuffledRows, batches
from dfm_flax.generation.generator import ImageBatch
from dfm_flax.training.step import local_places, place_rows, replicate
from dfm_flax.typing import AnyArray, Count

_BYTES_AT_ONCE = 2**26  # of images that a process gives to its devices, at most


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
        return _draw(self, self.images.shape[0], rng, step)

    def at(self, drawn: Drawn) -> ImageBatch:
        """See `training.feed.Feed`."""
        return ImageBatch(_scaled(self.images[drawn.index]), drawn.noise)


@flax.struct.dataclass
class PlacedDrawn(Drawn):
    """The same, and where in its device's memory each image lies."""

    place: Int32[AnyArray, "batch"]


@flax.struct.dataclass
class StreamFeed:
    """The images of some steps, on the devices that take part in them.

    Attributes:
      images: of this device's share of the batches, one after the other.
      first: the step that they begin with.
      order, batch_size, latent_size: as in `ImageFeed`.
      num_images: of the data set.
      share: images of a batch that are a device's.
    """

    images: UInt8[AnyArray, "*devices rows height width channels"]
    first: Int32[AnyArray, "*devices"]
    order: Any
    batch_size: int = flax.struct.field(pytree_node=False)
    latent_size: int = flax.struct.field(pytree_node=False)
    num_images: int = flax.struct.field(pytree_node=False)
    share: int = flax.struct.field(pytree_node=False)

    def draw(self, rng: PRNGKeyArray, step: Count) -> PlacedDrawn:
        """See `training.feed.Feed`."""
        drawn = _draw(self, self.num_images, rng, step)
        row = jnp.arange(self.batch_size, dtype=jnp.int32) % self.share
        return PlacedDrawn(drawn.index, drawn.noise, (step - self.first) * self.share + row)

    def at(self, drawn: PlacedDrawn) -> ImageBatch:
        """See `training.feed.Feed`."""
        return ImageBatch(_scaled(self.images[drawn.place]), drawn.noise)


@dataclass(frozen=True, eq=False)
class ImageStream:
    """A data set of which no more lies on the devices than what the next steps need.

    Attributes:
      source: of the images.
      order, batch_size, latent_size: as in `ImageFeed`.
      num_steps: of the run.
      log_every: steps between looks at the run, whose images are brought in equal pieces.
      workers: processes that read, see `data.stream.batches`.
    """

    source: ImageSource
    order: Any
    batch_size: int
    latent_size: int
    num_steps: int
    log_every: int
    workers: int

    @contextlib.contextmanager
    def feeding(self, start: int) -> Iterator["_Feeding"]:
        """See `training.feeding.Stream`."""
        num_images = len(self.source)
        key = jnp.asarray(self.order)
        order = HostOrder.create(key, num_images, self.num_steps * self.batch_size)
        places = tuple(local_places().values())
        rows = ShuffledRows(self.source, order, self.batch_size, jax.device_count(), places)
        share = self.batch_size // jax.device_count()
        batch_bytes = share * len(places) * int(np.prod(self.source.shape))
        pieces = -(-self.log_every * batch_bytes // _BYTES_AT_ONCE)
        steps = -(-self.log_every // min(pieces, self.log_every))
        empty = np.zeros((len(places), steps * share, *self.source.shape), np.uint8)
        common = replicate(
            StreamFeed(
                np.zeros((0, *self.source.shape), np.uint8),
                np.zeros((), np.int32),
                self.order,
                self.batch_size,
                self.latent_size,
                num_images,
                share,
            )
        )
        with batches(rows, start, self.workers) as read:
            yield _Feeding(common, empty, steps, read, start)


class _Feeding:
    """See `training.feeding.Feeding`."""

    def __init__(
        self,
        common: StreamFeed,
        empty: UInt8[np.ndarray, "devices rows height width channels"],
        steps: int,
        read: Iterator[UInt8[np.ndarray, "_rows height width channels"]],
        start: int,
    ):
        self._common, self._empty, self._steps = common, empty, steps
        self._read, self._step = read, start
        self.example = self._on_devices(empty)

    def next(self, most: int) -> tuple[StreamFeed, int]:
        """See `training.feeding.Feeding`."""
        num, share = min(most, self._steps), self._common.share
        images = np.empty_like(self._empty)
        for i in range(num):
            batch = next(self._read)
            images[:, i * share : (i + 1) * share] = batch.reshape(
                len(images), share, *batch.shape[1:]
            )
        feed = self._on_devices(images)
        self._step += num
        return feed, num

    def _on_devices(
        self, images: UInt8[np.ndarray, "devices rows height width channels"]
    ) -> StreamFeed:
        first = np.full(len(images), self._step, np.int32)
        on_images, on_first = place_rows((images, first))
        return dataclasses.replace(self._common, images=on_images, first=on_first)


def _draw(feed: ImageFeed | StreamFeed, num_images: int, rng: PRNGKeyArray, step: Count) -> Drawn:
    index = shuffled_batch(feed.order, step, num_images, feed.batch_size)
    noise_rng = jax.random.split(rng, 3)[0]
    return Drawn(index, jax.random.normal(noise_rng, (feed.batch_size, feed.latent_size)))


def _scaled(
    images: UInt8[AnyArray, "batch height width channels"],
) -> Float[jax.Array, "batch height width channels"]:
    return jnp.asarray(images, jnp.float32) / 127.5 - 1
