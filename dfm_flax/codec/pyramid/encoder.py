"""From an image to a pyramid of a given size or quality."""

import bisect
import dataclasses
import logging
import math
from collections.abc import Callable
from pathlib import Path

from dfm_flax.codec.pyramid.body import file_size
from dfm_flax.codec.pyramid.geometry import Grids
from dfm_flax.codec.pyramid.image import PyramidImage, gain_of
from dfm_flax.codec.pyramid.network import Network, Weights
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
_MARGIN = 0.97  # of the bits are aimed at, so that few files are too large in the end
_ABOVE = 0.06  # dB that are aimed at above a quality
_GAINED = 0.16  # dB that the machines gain when the grids are fixed
_CORRECTIONS = 6  # short trainings for a size or quality that was missed
_CORRECTION = 0.12  # of the steps of the first one
_LEAST_STEPS = 20
_UNUSED = 0.04  # of a size that may be left
_ELASTICITY = 3.0  # change of log lambda for a rate or an error that is off by a factor of e
_MAX_FACTOR = 2.0  # that lambda changes by in one correction


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
    training = _Training(image, planned, num_steps, folder, seed)
    tried, rounding = training.corrected(
        Target(bits=_MARGIN * 8 * (num_bytes - _HEADER)),
        spare=lambda coded: -math.log(file_size(coded) / num_bytes),
        most=_UNUSED,
        say=lambda spare: f"{100 * math.exp(-spare):.1f}% of the size",
        factor=lambda attempt, spare: math.exp((1 + attempt) * _ELASTICITY * (_UNUSED / 2 - spare)),
    )
    fitting = [coded for spare, coded in tried if spare >= 0]
    if fitting:
        return max(fitting, key=lambda coded: psnr(image.pixels, coded.decoded()))
    return _forced(image, rounding, num_bytes)


def reaching(
    image: Image, quality: float, num_steps: int, folder: Path, seed: int = 0
) -> PyramidImage:
    """A pyramid of at least a PSNR in dB, as small as was found; or the best, if none reaches it.

    Raises:
      DfmError: training diverged or was interrupted.
    """
    training = _Training(image, plan(image, None, quality), num_steps, folder, seed)
    tried, _ = training.corrected(
        Target(mse=10 ** (-(quality + _ABOVE - _GAINED) / 10)),
        spare=lambda coded: psnr(image.pixels, coded.decoded()) - quality,
        most=3 * _ABOVE,
        say=lambda spare: f"{spare:.2f} dB from the quality",
        factor=lambda _, spare: math.exp(_ELASTICITY * math.log(10) / 10 * (spare - _ABOVE)),
    )
    enough = [coded for spare, coded in tried if spare >= 0]
    if enough:
        return min(enough, key=file_size)
    return max(tried, key=lambda pair: pair[0])[1]


def _forced(image: Image, rounding: Rounding, num_bytes: float) -> PyramidImage:
    """The image with fewer numbers, and in the end coarser weights, until it fits."""
    coded = rounding.best()
    while file_size(coded) > num_bytes:
        thinning = Thinning(image, coded)
        if thinning.most == 0:
            coded = dataclasses.replace(rounding.best(worth=math.inf), grids=coded.grids)
            if file_size(coded) > num_bytes:
                raise UsageError(f"image {image.name}: no file is that small")
            break
        coded = _thinned(coded, thinning, lambda thinner: file_size(thinner) <= num_bytes)
    return coded


class _Training:
    """One image, trained and corrected."""

    def __init__(self, image: Image, planned: Plan, num_steps: int, folder: Path, seed: int):
        self.network = Network(image.pixels.shape[-1], planned.pyramid.count)
        self._image, self._plan = image, planned
        self._num_steps, self._folder, self._seed = num_steps, folder, seed
        log.info(
            "%s: %d grids from %d pixel(s) a cell",
            image.name,
            planned.pyramid.count,
            2**planned.pyramid.first,
        )

    def start(self, target: Target) -> Rounding:
        """Trains from the weights that all images start from."""
        start = start_floats(self.network, self._plan.pyramid.first)
        return self._train(start, self._plan.trade_off, target, self._num_steps, None)

    def corrected(
        self,
        target: Target,
        *,
        spare: Callable[[PyramidImage], float],
        most: float,
        say: Callable[[float], str],
        factor: Callable[[int, float], float],
    ) -> tuple[list[tuple[float, PyramidImage]], Rounding]:
        """Trains, and corrects until there is from 0 to `most` to spare, or no more comes of it.

        Args:
          spare: how far an image is from its bound; negative where it is beyond.
          say: that, in words.
          factor: of lambda for the next correction, by how many there were and what is to spare.

        Returns:
          What each image that was tried has to spare, and it; and the last rounding.
        """
        rounding = self.start(target)
        tried: list[tuple[float, PyramidImage]] = []
        missed = math.inf
        for attempt in range(1 + _CORRECTIONS):
            coded = rounding.best()
            left = spare(coded)
            tried.append((left, coded))
            if 0 <= left <= most or attempt == _CORRECTIONS:
                break
            if any(one >= 0 for one, _ in tried) and abs(left) >= missed:
                break  # corrections bring no more
            missed = abs(left)
            log.info("%s: %s", self._image.name, say(left))
            rounding = self.correct(rounding, factor(attempt, left))
        return tried, rounding

    def correct(self, rounding: Rounding, factor: float) -> Rounding:
        """Trains a little more, for `factor` times the lambda."""
        trained = rounding.trained
        trade_off = trained.trade_off * min(max(factor, 1 / _MAX_FACTOR), _MAX_FACTOR)
        num_steps = max(_LEAST_STEPS, round(_CORRECTION * self._num_steps))
        return self._train(trained.weights, trade_off, Target(), num_steps, trained.grids)

    def _train(
        self,
        start: Weights,
        trade_off: float,
        target: Target,
        num_steps: int,
        grids: Grids | None,
    ) -> Rounding:
        pyramid, gain_code = self._plan.pyramid, self._plan.gain_code
        trained = train(
            self._image,
            self.network,
            pyramid,
            start,
            gain_of(gain_code),
            trade_off,
            target,
            num_steps,
            self._folder,
            self._seed,
            grids,
        )
        return Rounding(self._image, self.network, pyramid, gain_code, trained)


def _thinned(
    coded: PyramidImage,
    thinning: Thinning,
    enough: Callable[[PyramidImage], bool],
) -> PyramidImage:
    """The least thinned that is enough; all thinned if none is."""

    def at(count: int) -> PyramidImage:
        return dataclasses.replace(coded, grids=thinning.at(count))

    count = bisect.bisect_left(range(thinning.most), True, key=lambda count: enough(at(count)))
    return at(count)
