"""Whether the images of a run stay on the devices or are streamed to them, and why."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import psutil
from jaxtyping import Int
from ml_collections import ConfigDict

from dfm_flax.data.image_sets import load_image_set, num_bytes, open_image_source
from dfm_flax.data.image_source import ImageSet, evenly_spread
from dfm_flax.data.stream import num_workers
from dfm_flax.errors import UsageError

FEEDS = ("auto", "device", "stream")

# Of a stream so many images are looked at, by observers, priors and measurements, or as many as
# so many bytes hold.
_MOST_IMAGES, _MOST_BYTES = 10_000, 2**30


@dataclass(frozen=True)
class FeedChoice:
    """A way to feed a run.

    Attributes:
      streams: whether its images are streamed.
      reason: in words.
    """

    streams: bool
    reason: str


def check_feed(data: ConfigDict) -> None:
    """Raises UsageError for a section `data` of a config with a way to feed that there is not."""
    if data["feed"] not in FEEDS:
        raise UsageError(f"config: data.feed={data['feed']!r} is not one of {', '.join(FEEDS)}")
    num_workers(data["workers"])


def choose_feed(data: ConfigDict, split: str | None = None) -> FeedChoice:
    """The way to feed images that a section `data` of a config means.

    Its feed "auto" streams a set whose images take more than `budget`. One whose size is not
    known before it is loaded stays on the devices.

    Args:
      split: of the set; None for the config's.

    Raises:
      UsageError: there is no such set, split or feed.
    """
    check_feed(data)
    if data["feed"] != "auto":
        return FeedChoice(data["feed"] == "stream", f"config.data.feed={data['feed']}")
    size = num_bytes(**place(data, split))
    if size is None:
        return FeedChoice(False, "a set of unknown size")
    room, whose = budget()
    streams = size > room
    compared = "more than" if streams else "within"
    return FeedChoice(streams, f"{size / 1e6:,.1f} MB are {compared} {room / 1e6:,.0f} MB, {whose}")


def budget() -> tuple[int, str]:
    """Bytes of images that are kept on each device, and what that is a part of."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is not None:
        return limit // 4, "a quarter of a device's memory"
    # CPU devices share the host's memory: each has a copy, and the host another.
    copies = jax.local_device_count() + 1
    free = psutil.virtual_memory().available
    return free // 4 // copies, f"a quarter of the free memory over {copies} copies"


def place(data: ConfigDict, split: str | None = None) -> dict[str, Any]:
    """The arguments of `load_image_set` in a section `data` of a config."""
    named = {key: data[key] for key in ("name", "split", "data_dir", "size")}
    return named if split is None else named | {"split": split}


def load_looked_at(data: ConfigDict, split: str) -> ImageSet:
    """The images of a split to look at: all, or of one that would be streamed a part.

    Raises:
      UsageError: see `load_image_set`.
    """
    if not choose_feed(data, split).streams:
        return load_image_set(**place(data, split))
    source = open_image_source(**place(data, split))
    return source.images(some_of_stream(len(source), source.shape))


def some_of_stream(num_images: int, shape: tuple[int, int, int]) -> Int[np.ndarray, "some"]:
    """The places of the images of a stream that are looked at."""
    return evenly_spread(num_images, min(_MOST_IMAGES, max(1, _MOST_BYTES // int(np.prod(shape)))))
