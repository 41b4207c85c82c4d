"""What observers of a generator look at, and ours by name."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from dfm_flax.generation.drawing import draw, encode
from dfm_flax.generation.generator import Generator
from dfm_flax.registry import Registry
from dfm_flax.training.observer import Observer
from dfm_flax.typing import AnyArray


@dataclass(frozen=True, eq=False)
class GeneratorSnapshot:
    """A generator at some step.

    Attributes:
      model, params: decoder and encoder.
      images: those that it is trained on.
      table: their latents, where a table holds them; None with an encoder.
    """

    model: Generator
    params: Any
    images: UInt8[np.ndarray, "images height width channels"]
    table: Float32[np.ndarray, "images latent"] | None

    def latents(self, count: int) -> Float32[np.ndarray, "_count latent"]:
        """Latents of the first training images."""
        if self.table is not None:
            return self.table[:count]
        return self._encoded(count)

    def draw(
        self, latents: Float[AnyArray, "batch latent"]
    ) -> Float32[np.ndarray, "batch height width channels"]:
        """Images in [0, 1] of latents, of the size of the training images."""
        return draw(self.model, self.params, latents, *self.images.shape[1:3])

    @functools.cache  # noqa: B019  # a snapshot lives as long as one look
    def _encoded(self, count: int) -> Float32[np.ndarray, "_count latent"]:
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
