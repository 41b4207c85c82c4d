"""From an image to a pyramid of a given size or quality."""

import bisect
import dataclasses
import logging
import math
from collections.abc import Callable
from pathlib import Path

from dfm_flax.codec.pyramid.body import file_size
from dfm_flax.codec.pyramid.geometry import Pyramid
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
_WEIGHT_BITS = 4.5
_LARGEST_SHARE = 0.25  # of a file that its weights may take
_MARGIN = 0.985  # of the bits are aimed at, so that few files are too large in the end
_ABOVE = 0.08  # dB that are aimed at above a quality
_TRIES = 3  # trainings for a quality


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
    network = _network(image, planned.pyramid)
    bits = 8 * (num_bytes - _HEADER)
    weights = min(_WEIGHT_BITS * network.num_weights, _LARGEST_SHARE * bits)
    target = Target(bits=_MARGIN * (bits - weights))
    rounding = _train(image, network, planned, target, num_steps, folder, seed)
    coded = rounding.best()
    while file_size(coded) > num_bytes:
        thinning = Thinning(image, coded)
        if thinning.most == 0:
            smallest = rounding.best(worth=math.inf)
            coded = dataclasses.replace(smallest, grids=coded.grids)
            if file_size(coded) > num_bytes:
                raise UsageError(f"image {image.name}: no file is that small")
            break
        coded = _thinned(coded, thinning, lambda thinner: file_size(thinner) <= num_bytes)
    return coded


def reaching(
    image: Image, quality: float, num_steps: int, folder: Path, seed: int = 0
) -> PyramidImage:
    """A pyramid of at least a PSNR in dB, as small as was found; or the best, if none reaches it.

    Raises:
      DfmError: training diverged or was interrupted.
    """
    planned = plan(image, None, quality)
    network = _network(image, planned.pyramid)
    best: PyramidImage | None = None
    aim = quality + _ABOVE

    def reaches(coded: PyramidImage) -> bool:
        return psnr(image.pixels, coded.decoded()) >= quality

    for attempt in range(1, _TRIES + 1):
        target = Target(mse=10 ** (-aim / 10))
        rounding = _train(image, network, planned, target, num_steps, folder, seed)
        coded = rounding.best()
        if not reaches(coded):
            coded = rounding.best(worth=0.1)
        short = quality - psnr(image.pixels, coded.decoded())
        if short <= 0:
            thinning = Thinning(image, coded)
            return _thinned(coded, thinning, lambda thinner: not reaches(thinner), last=True)
        if best is None or short < quality - psnr(image.pixels, best.decoded()):
            best = coded
        if attempt < _TRIES:
            log.info("%s: %.2f dB short, once more", image.name, short)
        aim += short + _ABOVE
        planned = dataclasses.replace(planned, trade_off=rounding.trade_off / 10 ** (short / 10))
    assert best is not None
    return best


def _network(image: Image, pyramid: Pyramid) -> Network:
    return Network(image.pixels.shape[-1], pyramid.count)


def _train(
    image: Image,
    network: Network,
    planned: Plan,
    target: Target,
    num_steps: int,
    folder: Path,
    seed: int,
) -> Rounding:
    log.info(
        "%s: %d grids from %d pixel(s) a cell",
        image.name,
        planned.pyramid.count,
        2**planned.pyramid.first,
    )
    trained = train(
        image,
        network,
        planned.pyramid,
        start_floats(network, planned.pyramid.first),
        gain_of(planned.gain_code),
        planned.trade_off,
        target,
        num_steps,
        folder,
        seed,
    )
    return Rounding(image, network, planned.pyramid, planned.gain_code, trained)


def _thinned(
    coded: PyramidImage,
    thinning: Thinning,
    enough: Callable[[PyramidImage], bool],
    last: bool = False,
) -> PyramidImage:
    """The least thinned that is enough, or the one before it; all thinned if none is enough."""

    def at(count: int) -> PyramidImage:
        return dataclasses.replace(coded, grids=thinning.at(count))

    count = bisect.bisect_left(range(thinning.most), True, key=lambda count: enough(at(count)))
    return at(max(0, count - 1) if last else count)
