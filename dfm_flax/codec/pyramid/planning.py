"""Before training: which grids, and how much distortion a bit is worth (lambda).

An image's JPEG says both how much there is in it and what a bit buys: the slope of its error over
its size. A pyramid takes about `_OF_JPEG` of the bits for the same error. It is a first guess, and
training corrects it.
"""

import math
from dataclasses import dataclass

import numpy as np

from dfm_flax.baselines import codecs
from dfm_flax.codec.pyramid.geometry import MAX_GRIDS, MAX_LATENTS, Pyramid
from dfm_flax.codec.pyramid.image import gain_code_of
from dfm_flax.data.images import Image
from dfm_flax.metrics.distortion import mse

_OF_JPEG = 0.5
_CAUTION = 0.9  # JPEG is worse the fewer bits it has
_QUALITIES = (3, 10, 25, 50, 75, 92)
_TRADE_OFFS = 2e-6, 0.2  # the least and the largest lambda
_UNIT_TRADE_OFF = 0.004  # at which a unit of the grids stands for 1
_SLOPES = -10.0, -0.1  # those of other curves are an accident, of a tiny image or an empty one
_COARSE = 0.1  # bits per pixel, under which a grid with a cell a pixel is not worth its while


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
      pyramid: the grids.
      gain_code: of what a unit of the grids stands for.
      trade_off: lambda at the start.
    """

    pyramid: Pyramid
    gain_code: int
    trade_off: float


def plan(image: Image, bpp: float | None, quality: float | None) -> Plan:
    """A plan for a rate in bits per pixel or for a PSNR in dB."""
    height, width, _ = image.pixels.shape
    bits, errors = _curve_of_jpeg(image)
    # log error over log bits, at our point and with its slope there.
    if bpp is not None:
        log_bits = math.log(bpp / _OF_JPEG)
        log_error, slope = _along(bits, errors, log_bits)
    else:
        assert quality is not None
        log_error = -quality / 10 * math.log(10)
        log_bits, inverse = _along(errors[::-1], bits[::-1], log_error)
        slope = 1 / inverse
    ours = _OF_JPEG * math.exp(min(log_bits, 5.0))
    trade_off = _CAUTION * math.exp(log_error) * -slope / ours
    trade_off = min(max(trade_off, _TRADE_OFFS[0]), _TRADE_OFFS[1])
    most = max(1, math.ceil(math.log2(max(height, width)))) if max(height, width) > 1 else 1
    first = 1 if (bpp or ours) < _COARSE and most > 2 else 0
    pyramid = _pyramid(height, width, first, most)
    while pyramid.size > MAX_LATENTS:
        pyramid = _pyramid(height, width, pyramid.first + 1, most)
    return Plan(pyramid, gain_code_of(gain_of_trade_off(trade_off)), trade_off)


def gain_of_trade_off(trade_off: float) -> float:
    """What a unit of the grids stands for, about, at a lambda."""
    return math.sqrt(trade_off / _UNIT_TRADE_OFF)


def _pyramid(height: int, width: int, first: int, most: int) -> Pyramid:
    return Pyramid(height, width, first, max(1, min(MAX_GRIDS, most + 1) - first))


def _curve_of_jpeg(image: Image) -> tuple[list[float], list[float]]:
    """Logarithms of bits per pixel, rising, and of mean squared errors, falling."""
    bits, errors = [], []
    pixels = image.pixels.shape[0] * image.pixels.shape[1]
    for quality in _QUALITIES:
        data = codecs.encoded(image.pixels, "JPEG", quality=quality, optimize=True)
        error = mse(image.pixels, codecs.decoded(data, image.pixels.shape))
        bits.append(math.log(8 * len(data) / pixels))
        errors.append(math.log(max(error, 1e-8)))
    return bits, errors


def _along(x: list[float], y: list[float], at: float) -> tuple[float, float]:
    """The value and the slope of a falling curve through points; straight beyond its ends."""
    i = int(np.clip(np.searchsorted(x, at), 1, len(x) - 1))
    slope = float(np.clip((y[i] - y[i - 1]) / max(x[i] - x[i - 1], 1e-3), *_SLOPES))
    return y[i] + slope * (at - x[i]), slope
