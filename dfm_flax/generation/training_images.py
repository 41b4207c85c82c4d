"""The images that a generator is trained on: all in memory, or a source that they come from."""

import functools
import hashlib
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Int32, UInt8
from ml_collections import ConfigDict

from dfm_flax import cluster
from dfm_flax.data.feed_choice import FeedChoice, choose_feed, place, some_of_stream
from dfm_flax.data.image_sets import load_image_set, open_image_source
from dfm_flax.data.image_source import ImageSet, ImageSource
from dfm_flax.errors import UsageError
from dfm_flax.generation.generator import ImageShape
from dfm_flax.runs import Run

log = logging.getLogger(__name__)

Images = UInt8[np.ndarray, "images height width channels"]
Labels = Int32[np.ndarray, "images"]

# What tells one set from another, in data.json: of pixels, or where they are streamed of files.
_PIXELS, _FILES = "sha256", "files_sha256"


@dataclass(frozen=True, eq=False)
class TrainingImages:
    """The images of a run.

    Attributes:
      num: how many they are.
      shape: of each.
      facts: what data.json says of them.
      feed: how they come to the devices.
      num_classes: of them; 1 where they have no labels.
      resident: all of them; none where they are streamed.
      resident_labels: their classes, from 0 on.
      source: of a stream; None where they are in memory.
    """

    num: int
    shape: ImageShape
    facts: dict[str, Any]
    feed: FeedChoice
    num_classes: int
    resident: Images
    resident_labels: Labels
    source: ImageSource | None = None

    @functools.cached_property
    def looked_at(self) -> Int[np.ndarray, "some"]:
        """The places of those that are looked at: all, or of a stream some, evenly spread."""
        return looked_at(self.num, self.feed.streams, self.shape)

    @property
    def images(self) -> Images:
        """Those that are looked at."""
        return self.resident if self._streamed is None else self._streamed.images

    @property
    def labels(self) -> Labels:
        """The classes of `images`, from 0 on; all 0 where they have none."""
        return self.resident_labels if self._streamed is None else self._streamed.labels

    @functools.cached_property
    def _streamed(self) -> ImageSet | None:
        return None if self.source is None else self.source.images(self.looked_at)

    def at(self, index: Int[np.ndarray, "some"]) -> Images:
        """Images by their places."""
        return self.resident[index] if self.source is None else self.source.images(index).images


def open_training_images(run: Run, config: ConfigDict) -> TrainingImages:
    """The images of a config's data set. Of those in memory each process reads a part.

    A run goes on with the feed that it was started with.

    Raises:
      UsageError: the run was started with another config, or with other images.
    """
    stored = None
    if run.started:
        run.check_same(config)
        stored = run.read_json("data.json")
    feed = choose_feed(config.data)
    if stored is not None and config.data.feed == "auto":
        streams = is_streamed(stored)
        feed = FeedChoice(streams, "as the run was started") if streams != feed.streams else feed
    # One process may have less memory, or the run's folder.
    streams = bool(cluster.from_writer(np.int32(feed.streams)))
    if streams != feed.streams:
        feed = FeedChoice(streams, "as process 0 has it")
    opened = _streamed(config, feed) if feed.streams else _resident(config, feed)
    if stored is not None and stored != opened.facts:
        raise UsageError(
            f"{run.folder} was started with other images than {config.data.name} has now; "
            "restore them, or use another --workdir"
        )
    return opened


def _resident(config: ConfigDict, feed: FeedChoice) -> TrainingImages:
    part = load_image_set(**place(config.data), part=cluster.place())
    images, labels = cluster.joined_rows(part.images), cluster.joined_rows(part.labels)
    facts = {"shape": list(images.shape), _PIXELS: hashlib.sha256(images.tobytes()).hexdigest()}
    shape = ImageShape(*images.shape[1:])
    return TrainingImages(len(images), shape, facts, feed, part.num_classes, images, labels)


def _streamed(config: ConfigDict, feed: FeedChoice) -> TrainingImages:
    source = open_image_source(**place(config.data))
    facts = {"shape": [len(source), *source.shape], _FILES: source.fingerprint()}
    none = np.zeros((0, *source.shape), np.uint8)
    shape, no_labels = ImageShape(*source.shape), np.zeros(0, np.int32)
    return TrainingImages(
        len(source), shape, facts, feed, source.num_classes, none, no_labels, source
    )


def is_streamed(facts: dict[str, Any]) -> bool:
    """Whether the images of a run are streamed, by what its data.json says of them."""
    return _FILES in facts


def looked_at(num_images: int, streamed: bool, shape: ImageShape) -> Int[np.ndarray, "some"]:
    """The places of the images of a run that are looked at."""
    if not streamed:
        return np.arange(num_images)
    return some_of_stream(num_images, (shape.height, shape.width, shape.channels))
