"""What observers of a generator look at, and ours by name."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfm_flax.generation.drawing import draw, encode
from dfm_flax.generation.generator import Generator
from dfm_flax.registry import Registry
from dfm_flax.training.observer import Observer


@dataclass(frozen=True, eq=False)
class GeneratorSnapshot:
    """A generator at some step.

    Attributes:
      model, params: decoder and encoder.
      images: those that it is trained on, uint8 [N, H, W, C].
      table: their latents [N, L], where a table holds them; None with an encoder.
    """

    model: Generator
    params: Any
    images: NDArray[np.uint8]
    table: NDArray[np.float32] | None

    def latents(self, count: int) -> NDArray[np.float32]:
        """Latents [count, L] of the first training images."""
        if self.table is not None:
            return self.table[:count]
        return self._encoded(count)

    def draw(self, latents: NDArray) -> NDArray[np.float32]:
        """Images [B, H, W, C] in [0, 1] of latents [B, L], of the size of the training images."""
        return draw(self.model, self.params, latents, *self.images.shape[1:3])

    @functools.cache  # noqa: B019  # a snapshot lives as long as one look
    def _encoded(self, count: int) -> NDArray[np.float32]:
        return encode(self.model, self.params, self.images[:count])


OBSERVERS: Registry[type[Observer]] = Registry(
    "config: observer",
    {
        "reconstructions": "dfm_flax.generation.observers:Reconstructions",
        "samples": "dfm_flax.generation.observers:Samples",
        "held_out": "dfm_flax.generation.observers:HeldOut",
        "frechet": "dfm_flax.evaluation.frechet_observer:FrechetObserver",
    },
)
