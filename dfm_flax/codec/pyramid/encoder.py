"""From an image to a pyramid of a given size or quality."""

import bisect
import dataclasses
import logging
import math
from collections.abc import Callable
from pathlib import Path

from dfm_flax.codec.pyramid.body import file_size
from dfm_flax.codec.pyramid.image import PyramidImage, gain_of
from dfm_flax.codec.pyramid.network import Network
from dfm_flax.codec.pyramid.planning import Plan, plan
from dfm_flax.codec.pyramid.rounding import Rounding
from dfm_flax.codec.pyramid.start import start_floats
from dfm_flax.codec.pyramid.thinning import Thinning
from dfm_flax.codec.pyramid.training import Target, train
from dfm_flax.data.images import Image
from dfm_flax.errors import UsageError
from dfm_flax.metrics.distortion import psnr

log = logging.getLogger(__name__)

MIN_BYTES = 96  # of a file: header, step sizes, and the last words of what is coded

_HEADER = 48  # bytes, about
# log of what may be left of a size, or of an error: less is aimed at, so that few files miss.
_SPARE = 0.04
_THINNED = 0.02  # log of what may be taken from a file by fewer numbers, for no second training
_AT_ONCE = 1 / 8  # of the numbers that are not zero, before it is looked again which matter least
# A file of fewer bits is mostly weights, and what the best steps cost is taken from the grids: its
# steps are looked for from 2^-8, which leaves them coarser.
_MOSTLY_WEIGHTS, _COARSE_STEPS = 8 * 2000, 8
_GAINED = 0.16  # dB that the machines gain when the grids are fixed
_CORRECTIONS = 2
_MAX_CHANGE = 1.0  # of the log of what is aimed at, in one correction


def within(
    image: Image, num_bytes: float, num_steps: int, folder: Path, seed: int = 0
) -> PyramidImage:
    """A pyramid whose file has at most so many bytes.

    Raises:
      UsageError: no file is that small.
      DfmError: training diverged or was interrupted.
    """
    height, width, _ = image.pixels.shape
    planned = plan(image, 8 * num_bytes / (height * width), None)
    tried = _trained(
        image,
        planned,
        Target(bits=8 * max(num_bytes - _HEADER, 1)),
        lambda coded: math.log(num_bytes / file_size(coded)),
        num_steps,
        folder,
        seed,
    )
    fitting = [each.coded for each in tried if each.spare >= 0]
    if fitting:
        return max(fitting, key=lambda coded: psnr(image.pixels, coded.decoded()))
    return _forced(image, max(tried, key=lambda each: each.spare), num_bytes)


def reaching(
    image: Image, quality: float, num_steps: int, folder: Path, seed: int = 0
) -> PyramidImage:
    """A pyramid of at least a PSNR in dB, as small as was found; or the best, if none reaches it.

    Raises:
      DfmError: training diverged or was interrupted.
    """
    tried = _trained(
        image,
        plan(image, None, quality),
        Target(mse=10 ** (-(quality - _GAINED) / 10)),
        lambda coded: math.log(10) / 10 * (psnr(image.pixels, coded.decoded()) - quality),
        num_steps,
        folder,
        seed,
    )
    enough = [each.coded for each in tried if each.spare >= 0]
    return min(enough, key=file_size) if enough else max(tried, key=lambda each: each.spare).coded


@dataclasses.dataclass(frozen=True)
class _Tried:
    """What came of a training.

    Attributes:
      spare: log of how far the size or the error is from its bound; negative beyond it.
      rounding: of what was trained.
      coded: its best image.
    """

    spare: float
    rounding: Rounding
    coded: PyramidImage


def _trained(
    image: Image,
    planned: Plan,
    bound: Target,
    spare: Callable[[PyramidImage], float],
    num_steps: int,
    folder: Path,
    seed: int,
) -> list[_Tried]:
    """Trains, and trains the last part again for what was missed, until there is little to spare.

    Args:
      bound: in terms of training, about.
      spare: of an image, see `_Tried`.
    """
    pyramid = planned.pyramid
    network = Network(image.pixels.shape[-1], pyramid.count, pyramid.first)
    log.info("%s: %d grids from %d pixel(s) a cell", image.name, pyramid.count, 2**pyramid.first)
    target = aim = bound.times(math.exp(-_SPARE / 2))
    tried: list[_Tried] = []
    while True:
        trained = train(
            image,
            network,
            pyramid,
            start_floats(network),
            gain_of(planned.gain_code),
            planned.trade_off,
            target,
            num_steps,
            folder,
            seed,
            aim,
        )
        rounding = Rounding(image, network, pyramid, planned.gain_code, trained)
        small = target.of == "bits" and target.value < _MOSTLY_WEIGHTS
        coded = rounding.best(first=_COARSE_STEPS if small else None)
        left = spare(coded)
        tried.append(_Tried(left, rounding, coded))
        short = _THINNED if target.of == "bits" else 0.0
        if -short <= left <= _SPARE or len(tried) > _CORRECTIONS:
            return tried
        log.info(
            "%s: %+.1f%% of the %s to spare; the last part is trained again",
            image.name,
            100 * math.expm1(left),
            "size" if target.of == "bits" else "error",
        )
        aim = aim.times(math.exp(min(max(left - _SPARE / 2, -_MAX_CHANGE), _MAX_CHANGE)))


def _forced(image: Image, least: _Tried, num_bytes: float) -> PyramidImage:
    """The image with fewer numbers, and in the end coarser weights, until it fits."""
    rounding, coded = least.rounding, least.coded
    while file_size(coded) > num_bytes:
        thinning = Thinning(image, coded)
        if thinning.most == 0:
            coded = rounding.of(coded.grids).best(worth=math.inf)
            if file_size(coded) > num_bytes:
                raise UsageError(f"image {image.name}: no file is that small")
            break
        coded = _thinned(coded, thinning, lambda thinner: file_size(thinner) <= num_bytes)
    return coded


def _thinned(
    coded: PyramidImage,
    thinning: Thinning,
    enough: Callable[[PyramidImage], bool],
) -> PyramidImage:
    """The least thinned that is enough; as much as is taken at once, if that is not."""

    def at(count: int) -> PyramidImage:
        return dataclasses.replace(coded, grids=thinning.at(count))

    most = math.ceil(_AT_ONCE * thinning.most)
    return at(bisect.bisect_left(range(most), True, key=lambda count: enough(at(count))))
