"""What an image is compressed for: a rate or a quality."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from dfm_flax.baselines import codecs
from dfm_flax.data.images import Image
from dfm_flax.errors import UsageError
from dfm_flax.metrics.distortion import bits_per_pixel, psnr

_LEVEL = 0.5  # bits per pixel at which a machine of the position takes as much as a JPEG


@dataclass(frozen=True)
class Goal:
    """What to compress for: one of these.

    Attributes:
      bpp: bits per pixel, at most.
      psnr: dB, at least.
      percent: of the size of the raw image with its 8 or 16 bits a sample, at most.
    """

    bpp: float | None = None
    psnr: float | None = None
    percent: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.bpp, self.psnr, self.percent) if value is not None]
        if len(given) != 1 or not (math.isfinite(given[0]) and given[0] > 0):
            raise UsageError("give one of --bpp, --psnr and --percent, above 0")

    def num_bytes(self, image: Image) -> float:
        """Bytes for an image; for a PSNR a first guess."""
        height, width, channels = image.pixels.shape
        if self.bpp is not None:
            return self.bpp * height * width / 8
        if self.percent is not None:
            sample = 1 if image.levels == 255 else 2
            return self.percent / 100 * height * width * channels * sample
        assert self.psnr is not None
        return _guess_bytes(image, self.psnr)

    def check(self, image: Image, least: float, most: float) -> None:
        """Raises UsageError, with the rate that can be had, for files that cannot be made.

        Args:
          least, most: bytes of those that can.
        """
        if self.psnr is not None:
            return
        num_bytes = self.num_bytes(image)
        if num_bytes < least:
            which, bound = "least", self._rate(least, image, math.ceil)
        elif num_bytes > most:
            which, bound = "most", self._rate(most, image, math.floor)
        else:
            return
        raise UsageError(
            f"image {image.name}: there is no file of {num_bytes:,.0f} bytes; ask for at "
            f"{which} {bound}"
        )

    def _rate(self, num_bytes: float, image: Image, rounded: Callable[[float], int]) -> str:
        """In words, the goal of so many bytes, in three digits that are rounded so."""
        unit = "bpp" if self.bpp is not None else "percent"
        value = num_bytes / Goal(**{unit: 1.0}).num_bytes(image)
        digit = 10.0 ** (math.floor(math.log10(value)) - 2)
        return f"{rounded(value / digit) * digit:.6g} {unit}"


def _guess_bytes(image: Image, quality: float) -> float:
    """From the size of a JPEG of that PSNR: how much there is in an image, known without training.

    Under 0.5 bpp a machine takes less: its part of JPEG's size falls with the rate, to about
    half at 0.25 bpp (docs/results/codec.md).
    """
    size = 0
    for quality_setting in range(5, 100, 5):
        data = codecs.encoded(image.pixels, "JPEG", quality=quality_setting, optimize=True)
        size = len(data)
        if psnr(image.pixels, codecs.decoded(data, image.pixels.shape)) >= quality:
            break
    height, width = image.pixels.shape[:2]
    return size * min(1, bits_per_pixel(size, height, width) / _LEVEL)
