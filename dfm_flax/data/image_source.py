"""Images that are read one by one when they are asked for: what a stream consists of.

Grain (https://github.com/google/grain) reads them, in the order and in the processes that it is
told; a source is what Grain calls a random access data source, and is copied to these processes.
"""

import abc
import functools
import hashlib
from dataclasses import dataclass

import grain
import numpy as np
from jaxtyping import Int, Int32, UInt8
from tqdm import tqdm

from dfm_flax.data.images import Image, prepare
from dfm_flax.errors import UsageError
from dfm_flax.typing import Pixels

_THREADS, _AHEAD = 4, 64  # of Grain, within a process


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size with their classes, in memory.

    Attributes:
      name: as it was asked for.
      images: of 1 channel (gray) or 3 (RGB).
      labels: from 0 on; all 0 where there are none.
      num_classes: 1 where there are no labels.
    """

    name: str
    images: UInt8[np.ndarray, "images height width channels"]
    labels: Int32[np.ndarray, "images"]
    num_classes: int


class ImageSource(abc.ABC):
    """Images of one size with their classes, in an order that is always the same.

    Attributes:
      name: as it was asked for.
      shape: height, width and channels of an image.
      num_classes: 1 where there are no labels.
    """

    name: str
    shape: tuple[int, int, int]
    num_classes: int

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abc.abstractmethod
    def __getitem__(self, index: int) -> tuple[Pixels, int]:
        """An image and its label.

        Raises:
          UsageError: it is missing or damaged, or has another size.
        """

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """What changes if the set does, as far as can be told without reading its images."""

    @property
    def num_bytes(self) -> int:
        """Of all images in memory."""
        return len(self) * int(np.prod(self.shape))

    def images(self, index: Int[np.ndarray, "some"]) -> ImageSet:
        """Some of the images, in memory."""
        images = np.zeros((len(index), *self.shape), np.uint8)
        labels = np.zeros(len(index), np.int32)
        read = grain.MapDataset.source(_Chosen(self, index)).to_iter_dataset(
            grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_AHEAD)
        )
        bar = tqdm(
            read,
            f"reading {self.name}",
            len(index),
            unit="image",
            delay=2,
            leave=False,
            disable=None,
        )
        for i, (image, label) in enumerate(bar):
            images[i], labels[i] = image, label
        return ImageSet(self.name, images, labels, self.num_classes)


@dataclass(frozen=True, eq=False)
class _Chosen:
    source: ImageSource
    index: Int[np.ndarray, "some"]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, place: int) -> tuple[Pixels, int]:
        return self.source[int(self.index[place])]


class MemorySource(ImageSource):
    """A set that is in memory, as a source."""

    def __init__(self, image_set: ImageSet):
        self._set = image_set
        self.name, self.num_classes = image_set.name, image_set.num_classes
        height, width, channels = image_set.images.shape[1:]
        self.shape = height, width, channels

    def __len__(self) -> int:
        return len(self._set.images)

    def __getitem__(self, index: int) -> tuple[Pixels, int]:
        """See `ImageSource`."""
        return self._set.images[index], int(self._set.labels[index])

    @functools.cache  # noqa: B019  # it lives as long as the run
    def fingerprint(self) -> str:
        """See `ImageSource`."""
        return hashlib.sha256(self._set.images.tobytes()).hexdigest()


def evenly_spread(num_images: int, most: int) -> Int[np.ndarray, "some"]:
    """At most so many places of a set, all parts of it alike."""
    count = min(num_images, most)
    return np.arange(count) * num_images // count


def fitted(image: Image, size: int, shape: tuple[int, int, int], name: str) -> Pixels:
    """An image as one of a set has it.

    Args:
      size: the shorter side is resized to it and the center cut out; 0 keeps the image's.
      shape: height, width and channels that all images of the set have.
      name: of the image, for messages.

    Raises:
      UsageError: it has another size, or colors where the set has none.
    """
    if size:
        image = prepare(image, size, (size, size))
    pixels = np.rint(image.pixels * 255).astype(np.uint8)
    height, width, channels = pixels.shape
    if (height, width) != shape[:2]:
        raise UsageError(
            f"{name} has {height} x {width} pixels, others {shape[0]} x {shape[1]}; bring all to "
            "one size, by --config.data.size"
        )
    if channels > shape[2]:
        raise UsageError(f"{name} has colors, others are gray; bring all to one kind")
    return np.repeat(pixels, 3, axis=2) if channels < shape[2] else pixels
