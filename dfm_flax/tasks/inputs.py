"""The images of a run: read and prepared once, then kept with the run."""

import itertools
import logging
import zipfile
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from dfm_flax.data.images import Image, prepare, read_image
from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path
from dfm_flax.runs import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One machine to train: an image and a seed."""

    image: Image
    seed: int

    @property
    def name(self) -> str:
        return f"{self.image.name}_seed{self.seed}"


def make_jobs(images: list[Image], seeds: tuple[int, ...]) -> list[Job]:
    """Every image with every seed."""
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise UsageError(
            f"--config.seeds={seeds}: give one or more different numbers, none negative"
        )
    return [Job(image, seed) for image, seed in itertools.product(images, seeds)]


def open_images(run: Run, config: ConfigDict) -> list[Image]:
    """Starts a run, or checks that it was started with this config; returns its images."""
    if run.started:
        run.check_same(config)
        return stored_images(run)
    images = _read_images(config.data)
    run.create()
    with atomic_path(run.folder / "images.npz") as path:
        arrays: dict[str, Any] = {image.name: _integers(image) for image in images}
        np.savez_compressed(path, **arrays)
    run.write_config(config)
    return stored_images(run)  # as a resumed run will see them: resizing leaves no whole levels


def stored_images(run: Run) -> list[Image]:
    """The images that a run was started with."""
    file = run.folder / "images.npz"
    try:
        with np.load(file) as arrays:
            return [_from_integers(name, arrays[name]) for name in arrays.files]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{file}: cannot be read: {error}") from error


def _read_images(data: ConfigDict) -> list[Image]:
    if not data.images:
        raise UsageError("no image given; use --config.data.images=FILE,FILE or sample:astronaut")
    if len(data.crop) not in (0, 2):
        raise UsageError(f"--config.data.crop={data.crop}: give height,width or () for none")
    images: list[Image] = []
    for source in data.images:
        image = prepare(read_image(source), data.resize, tuple(data.crop) or None)
        if image.had_alpha:
            log.warning("%s: transparency is shown over white", source)
        images.append(replace(image, name=_unused(image.name, {other.name for other in images})))
    channels = {image.pixels.shape[-1] for image in images}
    if len(channels) > 1:
        raise UsageError("grey and colour images cannot be trained together; give each a --workdir")
    return images


def _unused(name: str, taken: set[str]) -> str:
    candidates = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _integers(image: Image) -> np.ndarray:
    dtype = np.uint8 if image.levels == 255 else np.uint16
    return np.rint(image.pixels * image.levels).astype(dtype)


def _from_integers(name: str, values: np.ndarray) -> Image:
    levels = int(np.iinfo(values.dtype).max)
    return Image((values / levels).astype(np.float32), levels, name)
