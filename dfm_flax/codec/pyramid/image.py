"""An image as whole numbers: a pyramid of grids and the weights of two machines.

What version 3 of a `.dfm` file holds.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from dfm_flax.codec.coded_image import CodedImage
from dfm_flax.codec.powers import step_size
from dfm_flax.codec.pyramid.geometry import Pyramid
from dfm_flax.codec.pyramid.rendering import render
from dfm_flax.codec.pyramid.weights import CodedWeights
from dfm_flax.models.rendering import Region

_UNIT_GAIN = 64  # the code of a gain of 1


@dataclass(frozen=True, eq=False)
class PyramidImage(CodedImage):
    """An image as a function of position.

    Attributes:
      levels: largest sample of the image that it was made from, 255 or 65535.
      pyramid: the sizes of image and grids.
      gain_code: a unit of the finest grids stands for 2^((gain_code - 64) / 8).
      weights: of the machines.
      grids: finest first.
    """

    levels: int
    pyramid: Pyramid
    gain_code: int
    weights: CodedWeights
    grids: list[Int32[np.ndarray, "_height _width"]]

    @property
    def height(self) -> int:  # type: ignore[override]
        return self.pyramid.height

    @property
    def width(self) -> int:  # type: ignore[override]
        return self.pyramid.width

    @property
    def channels(self) -> int:
        return self.weights.network.channels

    @property
    def num_weights(self) -> int:
        return self.weights.network.num_weights

    @property
    def units(self) -> list[float]:
        """What a unit of each grid stands for."""
        return [gain_of(self.gain_code) * unit for unit in self.weights.network.units]

    def render(
        self, height: int, width: int, region: Region | None = None
    ) -> Float32[np.ndarray, "rows columns channels"]:
        return render(
            self.weights.network,
            self.weights.floats,
            self.pyramid,
            gain_of(self.gain_code),
            self.grids,
            height,
            width,
            region,
        )


def gain_of(code: int) -> float:
    """2^((code - 64) / 8)."""
    return float(np.ldexp(step_size(-code % 8), (code + -code % 8 - _UNIT_GAIN) // 8))


def gain_code_of(gain: float) -> int:
    """The code of the nearest gain that has one."""
    return min(max(round(8 * math.log2(gain)) + _UNIT_GAIN, 0), 255)
