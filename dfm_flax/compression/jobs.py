"""The machines of a run, one for each image and seed. The run keeps its images."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8, UInt16
from ml_collections import ConfigDict

from dfm_flax.data.image_files import image_name, list_files
from dfm_flax.data.images import Image, image_size, prepare, prepared_size, read_image
from dfm_flax.data.memory import check_fits
from dfm_flax.errors import UsageError, one_line
from dfm_flax.files import atomic_path
from dfm_flax.outputs import unused_names
from dfm_flax.runs import Run

_Integers = UInt8[np.ndarray, "height width channels"] | UInt16[np.ndarray, "height width channels"]


@dataclass(frozen=True)
class Job:
    """One machine to train: an image and a seed."""

    image: Image
    seed: int

    @property
    def name(self) -> str:
        return f"{self.image.name}_seed{self.seed}"


def make_jobs(images: list[Image], seed: int, num_seeds: int) -> list[Job]:
    """Every image with every seed, from `seed` on."""
    return [
        Job(image, seed) for image, seed in itertools.product(images, range(seed, seed + num_seeds))
    ]


def open_images(run: Run, config: ConfigDict) -> list[Image]:
    """The images of a run that goes on with the same config, or those that a new one will have.

    Nothing is written: `start_run` does that, when all else is found right.
    """
    if run.started:
        run.check_same(config)
        return stored_images(run)
    return _read_images(config.data)


def start_run(run: Run, config: ConfigDict, images: list[Image]) -> None:
    """Writes images and config of a new run; a run that was started with this config is left."""
    if run.started:
        run.check_same(config)
        return
    run.create()
    pixels: dict[str, Any] = {str(i): _to_integers(image) for i, image in enumerate(images)}
    with atomic_path(run.folder / "images.npz") as path:
        np.savez_compressed(path, names=np.array([image.name for image in images]), **pixels)
    run.write_config(config)


def stored_images(run: Run) -> list[Image]:
    """The images that a run was started with."""
    file = run.folder / "images.npz"
    try:
        with np.load(file) as arrays:
            names = arrays["names"].tolist()
            return [_from_integers(name, arrays[str(i)]) for i, name in enumerate(names)]
    except Exception as error:  # NumPy answers damaged bytes with nearly any exception
        raise UsageError(
            f"{file}: cannot be read: {one_line(error)}; restore it, or use another --workdir"
        ) from error


def _read_images(data: ConfigDict) -> list[Image]:
    if len(data.crop) not in (0, 2):
        raise UsageError(f"--config.data.crop={data.crop}: give height,width or () for none")
    sources = list_files(data.images)
    names = unused_names(map(image_name, sources))
    crop = tuple(data.crop) or None
    _check_headers(sources, names, data.resize, crop)
    images: list[Image] = []
    for source, name in zip(sources, names, strict=True):
        image = prepare(read_image(source), data.resize, crop)
        # As a resumed run will see them: resizing leaves values between the levels.
        images.append(_from_integers(name, _to_integers(image)))
    return images


def _check_headers(
    sources: list[str], names: list[str], resize: int, crop: tuple[int, int] | None
) -> None:
    """All that can be told of the images before one of them is read whole."""
    num_bytes, gray = 0, []
    for source, name in zip(sources, names, strict=True):
        header = image_size(source)
        height, width = prepared_size(name, (header.height, header.width), resize, crop)
        num_bytes += 4 * height * width * header.channels
        if header.channels == 1:
            gray.append(name)
    if 0 < len(gray) < len(names):
        raise UsageError(
            "gray and color images cannot be trained together; give each a --workdir "
            f"(gray: {', '.join(gray)})"
        )
    check_fits(num_bytes, f"the run's {len(names)} image(s)")


def _to_integers(image: Image) -> _Integers:
    dtype = np.uint8 if image.levels == 255 else np.uint16
    return np.rint(image.pixels * image.levels).astype(dtype)


def _from_integers(name: str, values: Shaped[np.ndarray, "..."]) -> Image:
    if values.ndim != 3 or values.shape[-1] not in (1, 3):
        raise ValueError(f"{name} is no image but {values.shape}")
    levels = int(np.iinfo(values.dtype).max)
    return Image((values / levels).astype(np.float32), levels, name)
