"""Images from a decoder and a prior: what trained and shipped generators have in common."""

import abc
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from ml_collections import ConfigDict

from dfm_flax.config_values import check_seed
from dfm_flax.data.memory import check_fits
from dfm_flax.errors import UsageError
from dfm_flax.generation.drawing import draw
from dfm_flax.generation.generator import Generator, ImageShape
from dfm_flax.generation.prior import Prior

Images = Float32[np.ndarray, "batch height width channels"]  # in [0, 1]
Size = tuple[int, int]  # (height, width) in pixels


class Sampler(abc.ABC):
    """Draws images of latents.

    The images that its methods return are in [0, 1], of the size that the
    training images have or, for a model that draws at any size, of `size` = (height, width).

    Attributes:
      config: of the run that trained it.
      model, params: the generator.
      shape: of the images that it was trained on.
    """

    config: ConfigDict
    model: Generator
    params: Any
    shape: ImageShape

    @abc.abstractmethod
    def prior(self, name: str, label: int | None = None) -> Prior:
        """A prior by its name, or that of a class; UsageError if there is none."""

    def sample(
        self,
        num: int,
        prior: str = "gaussian",
        seed: int = 0,
        size: Size | None = None,
        label: int | None = None,
    ) -> Images:
        """Draws images of `num` random latents.

        Args:
          prior: what latents are drawn from, see `prior`.
          label: the class of the images, from 0 on; None for all classes.

        Raises:
          UsageError: there is no such prior or class, or the model cannot draw that size.
        """
        check_seed(seed)
        self._check_memory(num, size)  # before a prior is fitted
        latents = np.asarray(self.prior(prior, label).sample(num, seed), np.float32)
        expected = num, self.config.model.latent_size
        if latents.shape != expected:
            raise UsageError(f"prior {prior!r}: samples of shape {latents.shape}, not {expected}")
        return self.decode(latents, size)

    def decode(
        self, latents: Float[np.ndarray, "batch latent"], size: Size | None = None
    ) -> Images:
        """The images of latents."""
        height, width = self._check_memory(len(latents), size)
        return draw(self.model, self.params, latents, height, width)

    def _check_memory(self, num: int, size: Size | None) -> Size:
        """The size of `num` images; UsageError where they do not fit into memory."""
        height, width = size or (self.shape.height, self.shape.width)
        # Twice: in pieces as they are drawn, and put together.
        num_bytes = 2 * 4 * num * height * width * self.shape.channels
        check_fits(num_bytes, f"drawing {num:,} images of {width}x{height} pixels")
        return height, width

    def prior_name(self, name: str) -> str:
        """Of a model that is trained for N(0, I), such as a VAE, 'normal' is N(0, I)."""
        native = self.model.native_prior
        return native if name == "normal" and native == "standard_normal" else name
