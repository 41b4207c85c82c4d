"""Compression of image files to `.dfm` files of a given size or quality."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfm_flax.baselines import codecs
from dfm_flax.codec import container
from dfm_flax.codec.plan import max_bytes, min_bytes, plan, weight_bits
from dfm_flax.codec.quantized import QuantizedImage
from dfm_flax.codec.rounding import Rounding, decoded
from dfm_flax.codec.train import train
from dfm_flax.config_values import check_seed
from dfm_flax.data.image_files import image_name
from dfm_flax.data.images import Image, image_size, read_image
from dfm_flax.data.memory import check_fits
from dfm_flax.errors import DfmError, UsageError
from dfm_flax.files import check_writable, temporary_folder
from dfm_flax.metrics.distortion import bits_per_pixel, ms_ssim, psnr
from dfm_flax.models.machine import make_machine
from dfm_flax.training.loop import Interrupted

log = logging.getLogger(__name__)

_Tell = Callable[[DfmError], None]

_TOGETHER = 8  # images that are trained at once: more take more memory and save no time
_KEPT_BYTES = 2**29  # of pixels at once, but for those of a single image
_TRIES = 3  # machines that are trained for a given quality
_PER_OCTAVE = 1.5  # dB that a file of twice the size gains, about
_MAX_OCTAVES = 16.0  # that a file may grow from one try to the next
_LEVEL = 0.5  # bits per pixel at which a machine takes as much as a JPEG


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
        return max(min(_guess_bytes(image, self.psnr), _most_bytes(image)), min_bytes(channels))

    def check(self, image: Image) -> None:
        """Raises UsageError, with the rate that can be had, if no machine has that size."""
        if self.psnr is not None:
            return
        channels, num_bytes = image.pixels.shape[-1], self.num_bytes(image)
        if num_bytes < min_bytes(channels):
            which, bound = "least", self._rate(min_bytes(channels), image, math.ceil)
        elif num_bytes > max_bytes(channels):
            which, bound = "most", self._rate(max_bytes(channels), image, math.floor)
        else:
            return
        raise UsageError(
            f"image {image.name}: no machine makes a file of {num_bytes:,.0f} bytes; ask for at "
            f"{which} {bound}"
        )

    def _rate(self, num_bytes: float, image: Image, rounded: Callable[[float], int]) -> str:
        """In words, the goal of so many bytes, in three digits that are rounded so."""
        unit = "bpp" if self.bpp is not None else "percent"
        value = num_bytes / Goal(**{unit: 1.0}).num_bytes(image)
        digit = 10.0 ** (math.floor(math.log10(value)) - 2)
        return f"{rounded(value / digit) * digit:.6g} {unit}"


@dataclass(frozen=True)
class _Job:
    image: Image
    num_bytes: float
    out: Path


@dataclass(frozen=True)
class _Planned:
    """A job to come. Of many large images not all are kept until then."""

    source: str | Image
    kept: Image | None
    shape: tuple[int, ...]
    num_bytes: float
    out: Path

    def job(self) -> _Job:
        image = self.kept or _read(self.source)
        if image.pixels.shape != self.shape:
            raise UsageError(f"image {image.name}: changed while others were compressed")
        return _Job(image, self.num_bytes, self.out)


def encode(
    sources: Sequence[str | Image],
    outs: Sequence[Path],
    goal: Goal,
    num_steps: int,
    workdir: str | Path | None = None,
    seed: int = 0,
    failed: _Tell | None = None,
    written: Callable[[Path], None] | None = None,
) -> list[dict[str, Any]]:
    """Compresses images.

    All are read, one after the other, before the first is trained.

    Args:
      sources: files and samples, see `data.image_files.list_files`; or images.
      outs: the `.dfm` file of each.
      num_steps: of training.
      workdir: folder for checkpoints; the same call then goes on after an interruption.
      failed: is told the error of an image, and the others are done; None to raise it.
      written: is told each file as soon as it is there.

    Returns:
      One entry for each image that did not fail: image, file, bytes, bpp, psnr (dB), ms_ssim
      (None for small images) of what the file decodes to, weights, seconds, and whether the goal
      was reached.

    Raises:
      UsageError: an image cannot be read, or is too small for the goal.
      DfmError: training diverged or was interrupted.
    """
    check_seed(seed)
    tell = failed or _raise
    with temporary_folder() as temporary:
        folder = Path(workdir or temporary)
        check_writable(folder / "checkpoints")
        planned = _planned(sources, outs, goal, tell)
        results: dict[Path, dict[str, Any]] = {}

        def done(job: _Job, entry: dict[str, Any]) -> None:
            results[job.out] = entry
            if written is not None:
                written(job.out)

        try:
            for batch in _batches(planned, num_steps):
                _encode_batch(batch, goal, num_steps, folder, seed, tell, done)
        except Interrupted as error:
            if workdir is None:
                error.args = (_stopped(results),)
            raise
    return [results[each.out] for each in planned if each.out in results]


def _raise(error: DfmError) -> None:
    raise error


def _stopped(results: dict[Path, dict[str, Any]]) -> str:
    kept = f"{len(results)} file(s) are written" if results else "nothing kept"
    return f"stopped, and {kept}: with --workdir it could go on"


def _planned(
    sources: Sequence[str | Image], outs: Sequence[Path], goal: Goal, tell: _Tell
) -> list[_Planned]:
    """Those of the images that can be read and have a file of that goal.

    What headers tell is told of all before the first is read whole.
    """
    possible = []
    for source, out in zip(sources, outs, strict=True):
        try:
            outline = _outline(source)
            _check_size(outline)
            goal.check(outline)
        except UsageError as error:
            tell(error)
        else:
            possible.append((source, out))
    planned: list[_Planned] = []
    kept_bytes = 0
    for source, out in possible:
        try:
            image = _read(source)
            num_bytes = goal.num_bytes(image)
        except UsageError as error:
            tell(error)
            continue
        kept_bytes += image.pixels.nbytes
        kept = image if kept_bytes <= _KEPT_BYTES or not planned else None
        planned.append(_Planned(source, kept, image.pixels.shape, num_bytes, out))
    return planned


def _outline(source: str | Image) -> Image:
    """An image as large as that of a file, known from its header, which takes no memory."""
    if isinstance(source, Image):
        return source
    header = image_size(source)
    black = np.broadcast_to(np.float32(0), (header.height, header.width, header.channels))
    return Image(black, header.levels, image_name(source))


def _read(source: str | Image) -> Image:
    image = source if isinstance(source, Image) else read_image(source)
    _check_size(image)
    return image


def _check_size(image: Image) -> None:
    height, width = image.pixels.shape[:2]
    if height * width > container.MAX_PIXELS:
        raise UsageError(f"image {image.name}: more than {container.MAX_PIXELS:,} pixels")
    check_fits(3 * image.pixels.nbytes, f"training on image {image.name}")


def _batches(planned: list[_Planned], num_steps: int) -> list[list[_Planned]]:
    """Jobs whose machines have one structure, some at a time, and not too many bytes."""
    groups: dict[str, list[_Planned]] = {}
    for each in planned:
        channels = each.shape[-1]
        try:
            made = plan(each.num_bytes, channels, num_steps)
        except UsageError as error:
            raise UsageError(f"{each.out.stem}: {error}") from error
        groups.setdefault(f"{made.model} {channels}", []).append(each)
    batches: list[list[_Planned]] = []
    for group in groups.values():
        num_bytes = 0
        for i, each in enumerate(group):
            size = 4 * math.prod(each.shape)
            if i == 0 or len(batches[-1]) == _TOGETHER or num_bytes + size > _KEPT_BYTES:
                batches.append([])
                num_bytes = 0
            batches[-1].append(each)
            num_bytes += size
    return batches


def _encode_batch(
    batch: list[_Planned],
    goal: Goal,
    num_steps: int,
    folder: Path,
    seed: int,
    tell: _Tell,
    done: Callable[[_Job, dict[str, Any]], None],
) -> None:
    """Trains a batch and writes its files; if training fails, each of its images alone."""
    begin = time.perf_counter()
    try:
        jobs = [each.job() for each in batch]
        roundings = _train(jobs, num_steps, folder, seed)
    except Interrupted:
        raise
    except DfmError as error:
        if len(batch) == 1:
            tell(error)
        for each in batch if len(batch) > 1 else ():
            _encode_batch([each], goal, num_steps, folder, seed, tell, done)
        return
    each_seconds = (time.perf_counter() - begin) / len(batch)
    for job, rounding in zip(jobs, roundings, strict=True):
        begin = time.perf_counter()
        try:
            container.write(job.out, _coded(job, rounding, goal, num_steps, folder, seed))
        except Interrupted:
            raise
        except DfmError as error:
            tell(error)
            continue
        done(job, _measure(job, goal, each_seconds + time.perf_counter() - begin))


def _coded(
    job: _Job, rounding: Rounding, goal: Goal, num_steps: int, folder: Path, seed: int
) -> QuantizedImage:
    if goal.psnr is not None:
        return _reach(job, rounding, goal.psnr, num_steps, folder, seed)
    coded = rounding.within(job.num_bytes)
    if coded is None:
        raise UsageError(f"image {job.image.name}: no file is that small")
    return coded


def _train(batch: list[_Job], num_steps: int, folder: Path, seed: int) -> list[Rounding]:
    channels = batch[0].image.pixels.shape[-1]
    config = plan(batch[0].num_bytes, channels, num_steps)
    machine = make_machine(config.model.machine, channels)
    budgets = [weight_bits(job.num_bytes) for job in batch]
    images = [job.image for job in batch]
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


def _reach(
    job: _Job, rounding: Rounding, quality: float, num_steps: int, folder: Path, seed: int
) -> QuantizedImage:
    """The smallest image found of at least a PSNR; or the best one, if none reaches it."""
    found: list[QuantizedImage] = []
    for attempt in range(1, _TRIES + 1):
        coded = rounding.reaching(quality)
        if coded is not None:
            return coded
        best = rounding.within(job.num_bytes)
        assert best is not None  # it was trained for that size
        found.append(best)
        short = quality - rounding.psnr(best)
        octaves = min((short + 0.3) / _PER_OCTAVE, _MAX_OCTAVES)
        num_bytes = min(job.num_bytes * 2**octaves, _most_bytes(job.image))
        if attempt == _TRIES or num_bytes <= job.num_bytes:
            break
        log.info("%s: %.2f dB short, once more with %d bytes", job.image.name, short, num_bytes)
        job = _Job(job.image, num_bytes, job.out)
        (rounding,) = _train([job], num_steps, folder, seed)
    return max(found, key=rounding.psnr)


def _measure(job: _Job, goal: Goal, seconds: float) -> dict[str, Any]:
    """What the file that was written gives."""
    coded, original = container.read(job.out), job.image.pixels
    height, width = original.shape[:2]
    picture, num_bytes = decoded(coded), job.out.stat().st_size
    quality, structure = psnr(original, picture), ms_ssim(original, picture)
    return {
        "image": job.image.name,
        "file": str(job.out),
        "weights": sum(layer.size for layer in coded.integers),
        "bytes": num_bytes,
        "bpp": bits_per_pixel(num_bytes, height, width),
        "psnr": quality if math.isfinite(quality) else None,
        "ms_ssim": structure if math.isfinite(structure) else None,
        "seconds": seconds,
        "reached": goal.psnr is None or quality >= goal.psnr,
    }


def _most_bytes(image: Image) -> float:
    """More than a machine's largest file or than the raw image is not tried for a quality."""
    return min(max_bytes(image.pixels.shape[-1]), Goal(percent=100.0).num_bytes(image))


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
