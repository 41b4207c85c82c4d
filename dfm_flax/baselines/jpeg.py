"""JPEG at a given size, the codec that the thesis compares with."""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from dfm_flax.baselines.codecs import decoded, encoded
from dfm_flax.metrics.distortion import psnr

_SUBSAMPLINGS = ("4:4:4", "4:2:0")


@dataclass(frozen=True, eq=False)
class Jpeg:
    """A JPEG file of an image.

    Attributes:
      quality: Pillow's, 1 to 100.
      num_bytes: of the file, headers and tables too.
      pixels: what it decodes to, in [0, 1].
    """

    quality: int
    num_bytes: int
    pixels: Float32[np.ndarray, "height width channels"]


def jpeg_within(pixels: Float[np.ndarray, "height width channels"], num_bytes: int) -> Jpeg | None:
    """The JPEG of the best PSNR in at most `num_bytes`; None where even quality 1 takes more.

    Tries the highest quality that fits, baseline and progressive, with and without chroma at
    half the resolution; Huffman tables are optimized.

    Args:
      pixels: in [0, 1].
    """
    pixels = np.clip(pixels, 0, 1)
    candidates = []
    for subsampling, progressive in itertools.product(_SUBSAMPLINGS, (False, True)):
        found = _highest_quality(pixels, num_bytes, subsampling, progressive)
        if found is not None:
            quality, data = found
            again = decoded(data, pixels.shape).astype(np.float32)
            candidates.append(Jpeg(quality, len(data), again))
    return max(candidates, key=lambda jpeg: psnr(pixels, jpeg.pixels), default=None)


def _highest_quality(
    pixels: Float[np.ndarray, "height width channels"],
    num_bytes: int,
    subsampling: str,
    progressive: bool,
) -> tuple[int, bytes] | None:
    """By bisection: the size grows with the quality."""
    best, low, high = None, 1, 100
    while low <= high:
        quality = (low + high) // 2
        data = encoded(
            pixels,
            "JPEG",
            quality=quality,
            subsampling=subsampling,
            progressive=progressive,
            optimize=True,
        )
        if len(data) <= num_bytes:
            best, low = (quality, data), quality + 1
        else:
            high = quality - 1
    return best
