"""Compression of image files to `.dfm` files of a given size or quality."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfm_flax.codec import container, machine_encoder
from dfm_flax.codec.coded_image import CodedImage
from dfm_flax.codec.goal import Goal
from dfm_flax.codec.machine_encoder import Job
from dfm_flax.codec.pyramid import encoder as pyramid_encoder
from dfm_flax.codec.pyramid.geometry import MAX_SIDE
from dfm_flax.config_values import check_seed
from dfm_flax.data.image_files import image_name
from dfm_flax.data.images import Image, image_size, read_image
from dfm_flax.data.memory import check_fits
from dfm_flax.errors import DfmError, UsageError
from dfm_flax.files import check_writable, temporary_folder
from dfm_flax.metrics.distortion import bits_per_pixel, ms_ssim, psnr
from dfm_flax.training.loop import Interrupted

METHODS = ("grids", "machine")

# Steps of training by effort, from 1 to 9.
_STEPS = {
    "grids": (100, 200, 400, 700, 2_000, 4_000, 6_000, 15_000, 40_000),
    "machine": (500, 1_000, 2_000, 3_500, 5_000, 10_000, 20_000, 50_000, 100_000),
}
DEFAULT_EFFORT = 5

_SMALL = 600  # bytes, under which a machine of the position alone is better
_TOGETHER = 8  # images that are trained at once: more take more memory and save no time
_KEPT_BYTES = 2**29  # of pixels at once, but for those of a single image
# Memory that training over grids takes: for each pixel, and for the matrices of series, by the
# squares of both sides.
_BYTES_PER_PIXEL, _BYTES_PER_SQUARE = 420, 32

_Tell = Callable[[DfmError], None]


def steps_of(method: str, effort: int) -> int:
    """Steps of training of an effort from 1 to 9.

    Raises:
      UsageError: it is none of these.
    """
    if not 1 <= effort <= len(_STEPS[method]):
        raise UsageError(f"effort {effort}: it is a whole number from 1 to {len(_STEPS[method])}")
    return _STEPS[method][effort - 1]


@dataclass(frozen=True)
class _Planned:
    """An image to come. Of many large ones not all are kept until then."""

    source: str | Image
    kept: Image | None
    shape: tuple[int, ...]
    num_bytes: float
    out: Path
    method: str

    def image(self) -> Image:
        image = self.kept or _read(self.source)
        if image.pixels.shape != self.shape:
            raise UsageError(f"image {image.name}: changed while others were compressed")
        return image


@dataclass(frozen=True)
class _Run:
    """What all images of a call share."""

    goal: Goal
    steps: dict[str, int]
    folder: Path
    seed: int
    tell: _Tell
    done: Callable[[_Planned, dict[str, Any]], None]


def encode(
    sources: Sequence[str | Image],
    outs: Sequence[Path],
    goal: Goal,
    num_steps: int | None = None,
    workdir: str | Path | None = None,
    seed: int = 0,
    *,
    effort: int = DEFAULT_EFFORT,
    method: str | None = None,
    failed: _Tell | None = None,
    written: Callable[[Path], None] | None = None,
) -> list[dict[str, Any]]:
    """Compresses images.

    All are read, one after the other, before the first is trained.

    Args:
      sources: files and samples, see `data.image_files.list_files`; or images.
      outs: the `.dfm` file of each.
      num_steps: of training; None for those of `effort`.
      workdir: folder for checkpoints; the same call then goes on after an interruption.
      effort: from 1 to 9: how long to train.
      method: one of `METHODS`; None for what is better at the size of each file.
      failed: is told the error of an image, and the others are done; None to raise it.
      written: is told each file as soon as it is there.

    Returns:
      One entry for each image that did not fail: image, file, method, bytes, bpp, psnr (dB),
      ms_ssim (None for small images) of what the file decodes to, weights, seconds, and whether
      the goal was reached.

    Raises:
      UsageError: an image cannot be read, or is too small for the goal.
      DfmError: training diverged or was interrupted.
    """
    check_seed(seed)
    if method is not None and method not in METHODS:
        raise UsageError(f"method {method!r} is not one of {', '.join(METHODS)}")
    if num_steps is not None and num_steps < 1:
        raise UsageError(f"--steps {num_steps}: train for at least 1")
    steps = {name: num_steps or steps_of(name, effort) for name in METHODS}
    tell = failed or _raise
    with temporary_folder() as temporary:
        folder = Path(workdir or temporary)
        check_writable(folder / "checkpoints")
        planned = _planned(sources, outs, goal, method, tell)
        results: dict[Path, dict[str, Any]] = {}

        def done(each: _Planned, entry: dict[str, Any]) -> None:
            results[each.out] = entry
            if written is not None:
                written(each.out)

        run = _Run(goal, steps, folder, seed, tell, done)
        try:
            for each in planned:
                if each.method == "grids":
                    _encode_over_grids(each, run)
            machines = [each for each in planned if each.method == "machine"]
            for batch in _batches(machines, steps["machine"]):
                _encode_batch(batch, run)
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
    sources: Sequence[str | Image],
    outs: Sequence[Path],
    goal: Goal,
    method: str | None,
    tell: _Tell,
) -> list[_Planned]:
    """Those of the images that can be read and have a file of that goal.

    What headers tell is told of all before the first is read whole.
    """
    possible = []
    for source, out in zip(sources, outs, strict=True):
        try:
            _check(_outline(source), goal, method)
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
            chosen = _method(num_bytes, image, method)
            if chosen == "grids":
                _check_grids(image)
        except UsageError as error:
            tell(error)
            continue
        if goal.psnr is not None:
            least, most = _bounds(chosen, image)
            num_bytes = max(min(num_bytes, most), least)
        kept_bytes += image.pixels.nbytes
        kept = image if kept_bytes <= _KEPT_BYTES or not planned else None
        planned.append(_Planned(source, kept, image.pixels.shape, num_bytes, out, chosen))
    return planned


def _method(num_bytes: float, image: Image, method: str | None) -> str:
    """The method that was asked for, or the better one for files of so many bytes."""
    least, _ = machine_encoder.bounds(image.pixels.shape[-1])
    return method or ("machine" if least <= num_bytes < _SMALL else "grids")


def _check(outline: Image, goal: Goal, method: str | None) -> None:
    """Raises UsageError for what an image's size and levels show to be impossible."""
    _check_size(outline)
    if goal.psnr is not None:
        return
    chosen = _method(goal.num_bytes(outline), outline, method)
    goal.check(outline, *_bounds(chosen, outline))
    if chosen == "grids":
        _check_grids(outline)


def _bounds(method: str, image: Image) -> tuple[float, float]:
    """The smallest and the largest files of an image, in bytes."""
    if method == "machine":
        return machine_encoder.bounds(image.pixels.shape[-1])
    raw = Goal(percent=100.0).num_bytes(image)
    return pyramid_encoder.MIN_BYTES, max(raw, pyramid_encoder.MIN_BYTES)


def _outline(source: str | Image) -> Image:
    """An image as large as that of a file, known from its header, which takes no memory."""
    if isinstance(source, Image):
        return source
    header = image_size(source)
    black = np.broadcast_to(np.float32(0), (header.height, header.width, header.channels))
    return Image(black, header.levels, image_name(source))


def _check_grids(image: Image) -> None:
    """Raises UsageError if the image is too large to be trained over grids."""
    height, width = image.pixels.shape[:2]
    if max(height, width) > MAX_SIDE:
        raise UsageError(
            f"image {image.name}: a side of {max(height, width):,} pixels; grids have up to "
            f"{MAX_SIDE:,}, --method machine any"
        )
    num_bytes = _BYTES_PER_PIXEL * height * width
    num_bytes += _BYTES_PER_SQUARE * (height * height + width * width)
    check_fits(num_bytes, f"training on image {image.name}")


def _read(source: str | Image) -> Image:
    image = source if isinstance(source, Image) else read_image(source)
    _check_size(image)
    return image


def _check_size(image: Image) -> None:
    height, width = image.pixels.shape[:2]
    if height * width > container.MAX_PIXELS:
        raise UsageError(f"image {image.name}: more than {container.MAX_PIXELS:,} pixels")
    check_fits(3 * image.pixels.nbytes, f"training on image {image.name}")


def _encode_over_grids(each: _Planned, run: _Run) -> None:
    begin = time.perf_counter()
    steps = run.steps["grids"]
    try:
        image = each.image()
        coded = (
            pyramid_encoder.reaching(image, run.goal.psnr, steps, run.folder, run.seed)
            if run.goal.psnr is not None
            else pyramid_encoder.within(image, each.num_bytes, steps, run.folder, run.seed)
        )
        _write(each, image, coded, begin, run)
    except Interrupted:
        raise
    except DfmError as error:
        run.tell(error)


def _batches(planned: list[_Planned], num_steps: int) -> list[list[_Planned]]:
    """Images whose machines have one structure, some at a time, and not too many bytes."""
    groups: dict[str, list[_Planned]] = {}
    for each in planned:
        try:
            key = machine_encoder.structure(each.num_bytes, each.shape[-1], num_steps)
        except UsageError as error:
            raise UsageError(f"{each.out.stem}: {error}") from error
        groups.setdefault(key, []).append(each)
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


def _encode_batch(batch: list[_Planned], run: _Run) -> None:
    """Trains a batch and writes its files; if training fails, each of its images alone."""
    begin = time.perf_counter()
    settings = run.steps["machine"], run.folder, run.seed
    try:
        jobs = [Job(each.image(), each.num_bytes) for each in batch]
        roundings = machine_encoder.train_together(jobs, *settings)
    except Interrupted:
        raise
    except DfmError as error:
        if len(batch) == 1:
            run.tell(error)
        for each in batch if len(batch) > 1 else ():
            _encode_batch([each], run)
        return
    each_seconds = (time.perf_counter() - begin) / len(batch)
    for each, job, rounding in zip(batch, jobs, roundings, strict=True):
        begin = time.perf_counter() - each_seconds
        try:
            coded = machine_encoder.coded(job, rounding, run.goal, *settings)
            _write(each, job.image, coded, begin, run)
        except Interrupted:
            raise
        except DfmError as error:
            run.tell(error)


def _write(each: _Planned, image: Image, coded: CodedImage, begin: float, run: _Run) -> None:
    """Writes the file, and measures what it gives."""
    container.write(each.out, coded)
    read, original = container.read(each.out), image.pixels
    height, width = original.shape[:2]
    picture, num_bytes = read.decoded(), each.out.stat().st_size
    quality, structure = psnr(original, picture), ms_ssim(original, picture)
    entry = {
        "image": image.name,
        "file": str(each.out),
        "method": each.method,
        "weights": read.num_weights,
        "bytes": num_bytes,
        "bpp": bits_per_pixel(num_bytes, height, width),
        "psnr": quality if math.isfinite(quality) else None,
        "ms_ssim": structure if math.isfinite(structure) else None,
        "seconds": time.perf_counter() - begin,
        "reached": run.goal.psnr is None or quality >= run.goal.psnr,
    }
    run.done(each, entry)
