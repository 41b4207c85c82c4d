"""What a `.dfm` file holds, whichever its version: an image as a function of the position."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float32

from dfm_flax.models.rendering import Region


class CodedImage(ABC):
    """An image in whole numbers.

    Attributes:
      height, width: pixels of the image that it was made from.
      levels: largest sample of that image, 255 or 65535.
      channels: 1 or 3.
      num_weights: of its machine or machines.
    """

    height: int
    width: int
    levels: int

    @property
    @abstractmethod
    def channels(self) -> int: ...

    @property
    @abstractmethod
    def num_weights(self) -> int: ...

    @abstractmethod
    def render(
        self, height: int, width: int, region: Region | None = None
    ) -> Float32[np.ndarray, "rows columns channels"]:
        """The picture in [0, 1], in any size, not rounded to its levels.

        Args:
          height, width: in pixels.
          region: (left, top, width, height) of the part to draw, in those pixels; None for all.

        Raises:
          UsageError: the region is not in the image, or it is too large.
        """

    def decoded(self) -> Float32[np.ndarray, "rows columns channels"]:
        """The picture in [0, 1] in its own size, with the levels that it is written with."""
        picture = self.render(self.height, self.width)
        return np.rint(picture * np.float32(self.levels)) / np.float32(self.levels)
