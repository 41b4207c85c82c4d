"""The last word on step sizes: as fine as a size allows, or as coarse as a quality allows."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64

from dfm_flax.codec.budget import step_sizes
from dfm_flax.codec.container import file_size
from dfm_flax.codec.entropy import LARGEST
from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.codec.quantized import QuantizedImage, quantize
from dfm_flax.data.images import Image
from dfm_flax.errors import DfmError
from dfm_flax.fourier import FourierMachine
from dfm_flax.metrics.distortion import psnr

# Codes that all steps together may be moved by: three octaves finer leave no trace of rounding,
# eight octaves coarser nothing but it.
_FINEST, _COARSEST = 24.0, -64.0
_PRECISION = 0.05


class Rounding:
    """All roundings of a trained machine that differ by a common factor of their step sizes.

    Args:
      params: of a `QuantizedMachine`.
      budget: bits that it was trained for.

    Raises:
      DfmError: a weight is larger than any that a file can hold.
    """

    def __init__(self, image: Image, machine: FourierMachine, params: Any, budget: float):
        self._image, self._machine, self._params = image, machine, params
        self._codes = -8 * np.log2(np.asarray(step_sizes(machine, params, jnp.float32(budget))))
        # Steps may not be so fine that an integer is too large to be coded.
        largest = _largest(machine, params["machine"])
        if not largest.max() <= LARGEST:
            raise DfmError(f"image {image.name}: training diverged, to a weight of {largest.max()}")
        self._finest = np.floor(8 * np.log2(LARGEST / np.maximum(largest, 1e-30)))

    def at(self, finer: float) -> QuantizedImage:
        """Step sizes 2^(-finer/8) times those of training, each rounded up to one with a code."""
        codes = np.minimum(np.floor(self._codes + finer), self._finest)
        codes = np.clip(codes, 0, 255).astype(np.uint8)
        height, width = self._image.pixels.shape[:2]
        return quantize(
            self._params["machine"], self._machine, codes, height, width, self._image.levels
        )

    def within(self, num_bytes: float) -> QuantizedImage | None:
        """The finest whose file has at most so many bytes; None if all have more."""
        return self._last(_COARSEST, _FINEST, lambda coded: file_size(coded) <= num_bytes)

    def reaching(self, quality: float) -> QuantizedImage | None:
        """The coarsest of at least a PSNR in dB; None if none has it."""
        return self._last(_FINEST, _COARSEST, lambda coded: self.psnr(coded) >= quality)

    def psnr(self, coded: QuantizedImage) -> float:
        return psnr(self._image.pixels, coded.decoded())

    def _last(
        self, first: float, last: float, good: Callable[[QuantizedImage], bool]
    ) -> QuantizedImage | None:
        """The last good one on the way from `first`, by bisection; None if `first` is not."""
        best = self.at(first)
        if not good(best):
            return None
        while abs(last - first) > _PRECISION:
            middle = (first + last) / 2
            coded = self.at(middle)
            if good(coded):
                first, best = middle, coded
            else:
                last = middle
        return best


def _largest(machine: FourierMachine, params: Any) -> Float64[np.ndarray, "groups"]:
    """Largest magnitude of a weight of each group."""
    largest = np.zeros(num_groups(machine))
    for i, rows in enumerate(row_groups(machine)):
        weights = np.asarray(params[f"layer_{i}"]["coefficients"])
        np.maximum.at(largest, rows, np.abs(weights).max(axis=1))
    return largest
