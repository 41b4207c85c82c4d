"""Machines of the position alone, for files of a few hundred bytes: versions 1 and 2."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dfm_flax.codec.goal import Goal
from dfm_flax.codec.plan import max_bytes, min_bytes, plan, weight_bits
from dfm_flax.codec.quantized import QuantizedImage
from dfm_flax.codec.rounding import Rounding
from dfm_flax.codec.train import train
from dfm_flax.data.images import Image
from dfm_flax.errors import UsageError
from dfm_flax.models.machine import make_machine

log = logging.getLogger(__name__)

_TRIES = 3  # machines that are trained for a given quality
_PER_OCTAVE = 1.5  # dB that a file of twice the size gains, about
_MAX_OCTAVES = 16.0  # that a file may grow from one try to the next


@dataclass(frozen=True)
class Job:
    """An image, and the bytes that its file may have, or for a quality a first guess."""

    image: Image
    num_bytes: float


def bounds(channels: int) -> tuple[float, float]:
    """The smallest and the largest files that machines are planned for, in bytes."""
    return min_bytes(channels), max_bytes(channels)


def structure(num_bytes: float, channels: int, num_steps: int) -> str:
    """What images must agree in to be trained side by side."""
    return f"{plan(num_bytes, channels, num_steps).model} {channels}"


def train_together(jobs: Sequence[Job], num_steps: int, folder: Path, seed: int) -> list[Rounding]:
    """Trained machines of images whose machines have one structure.

    Raises:
      DfmError: training diverged or was interrupted.
    """
    channels = jobs[0].image.pixels.shape[-1]
    config = plan(jobs[0].num_bytes, channels, num_steps)
    machine = make_machine(config.model.machine, channels)
    budgets = [weight_bits(job.num_bytes) for job in jobs]
    images = [job.image for job in jobs]
    log.info(
        "%s: machine(s) with %s features between the layers",
        ", ".join(image.name for image in images),
        ", ".join(map(str, machine.widths[1:-1])),
    )
    trained = train(config, machine, images, budgets, folder, seed)
    return [
        Rounding(image, machine, params, budget)
        for image, params, budget in zip(images, trained, budgets, strict=True)
    ]


def coded(
    job: Job, rounding: Rounding, goal: Goal, num_steps: int, folder: Path, seed: int
) -> QuantizedImage:
    """The image within the bytes of a job, or for a quality the smallest that was found.

    Raises:
      UsageError: no file is that small.
      DfmError: training diverged or was interrupted.
    """
    if goal.psnr is not None:
        return _reach(job, rounding, goal.psnr, num_steps, folder, seed)
    found = rounding.within(job.num_bytes)
    if found is None:
        raise UsageError(f"image {job.image.name}: no file is that small")
    return found


def _reach(
    job: Job, rounding: Rounding, quality: float, num_steps: int, folder: Path, seed: int
) -> QuantizedImage:
    """The smallest image found of at least a PSNR; or the best one, if none reaches it."""
    found: list[QuantizedImage] = []
    for attempt in range(1, _TRIES + 1):
        image = rounding.reaching(quality)
        if image is not None:
            return image
        best = rounding.within(job.num_bytes)
        assert best is not None  # it was trained for that size
        found.append(best)
        short = quality - rounding.psnr(best)
        octaves = min((short + 0.3) / _PER_OCTAVE, _MAX_OCTAVES)
        num_bytes = min(job.num_bytes * 2**octaves, most_bytes(job.image))
        if attempt == _TRIES or num_bytes <= job.num_bytes:
            break
        log.info("%s: %.2f dB short, once more with %d bytes", job.image.name, short, num_bytes)
        job = Job(job.image, num_bytes)
        (rounding,) = train_together([job], num_steps, folder, seed)
    return max(found, key=rounding.psnr)


def most_bytes(image: Image) -> float:
    """More than a machine's largest file or than the raw image is not tried for a quality."""
    return min(max_bytes(image.pixels.shape[-1]), Goal(percent=100.0).num_bytes(image))
