"""How the data of a run come to its devices: all at the start, or in pieces while it trains."""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from dfm_flax.training.step import replicate


@runtime_checkable
class Feeding(Protocol):
    """Gives the feeds of a run's steps, in order.

    Attributes:
      example: a feed, replicated over the devices, as all are in structure and shapes.
    """

    example: Any

    def next(self, most: int) -> tuple[Any, int]:
        """The feed of the next steps, and of how many: from 1 to `most`.

        May be called while the devices are busy with the steps before.
        """


@runtime_checkable
class Stream(Protocol):
    """Data of which the devices hold no more than what the next steps need."""

    def feeding(self, start: int) -> AbstractContextManager[Feeding]:
        """Reads ahead, from the data of step `start` on, while the context lasts."""


@dataclass
class _Resident:
    """Data that stay on the devices."""

    example: Any

    def next(self, most: int) -> tuple[Any, int]:
        return self.example, most


@contextlib.contextmanager
def opened(feed: Any, start: int) -> Iterator[Feeding]:
    """What gives the feeds of the steps from `start` on, of a feed or a stream."""
    if isinstance(feed, Stream):
        with feed.feeding(start) as feeding:
            yield feeding
    else:
        yield _Resident(replicate(feed))
