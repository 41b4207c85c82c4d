"""The codec for programs: an image to the bytes of a `.dfm` file, and back to pixels."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy.typing import ArrayLike

from dfm_flax.codec import container, decoder
from dfm_flax.data.images import SAMPLE_PREFIX, Image
from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path, local_path, temporary_folder
from dfm_flax.models.rendering import Region

_DEFAULT_BPP = 0.3


@dataclass(frozen=True)
class Encoded:
    """The bytes of a `.dfm` file, and what they decode to.

    It is `bytes(encoded)` of length `len(encoded)`.

    Attributes:
      data: the bytes.
      bpp: bits per pixel.
      psnr: in dB; None if the image is met exactly.
      ms_ssim: None for images under 161 pixels a side.
      weights: how many weights its machine, or machines, have.
      reached: whether the quality is the one asked for.
    """

    data: bytes = field(repr=False)
    bpp: float
    psnr: float | None
    ms_ssim: float | None
    weights: int
    reached: bool

    def __bytes__(self) -> bytes:
        return self.data

    def __len__(self) -> int:
        return len(self.data)

    def save(self, path: str | Path) -> None:
        """Writes the file, complete or not at all.

        Raises:
          UsageError: it cannot be written.
        """
        with atomic_path(path) as temporary:
            temporary.write_bytes(self.data)


def encode(
    image: ArrayLike | str | Path,
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    percent: float | None = None,
    effort: int = 5,
    num_steps: int | None = None,
    method: str | None = None,
    seed: int = 0,
    workdir: str | Path | None = None,
) -> Encoded:
    """Compresses an image, as `dfm compress` does it.

    Args:
      image: [H, W, C] with C = 1 or 3, in [0, 1], or uint8, or uint16; or a file, see
        `read_image`.
      bpp: bits per pixel, at most. Give it, `psnr` or `percent`; 0.3 bpp if none is given.
      psnr: dB, at least; where it is not reached, `reached` says so.
      percent: of the size of the raw image, at most.
      effort: from 1 to 9: how long to train.
      num_steps: of training, instead of those of the effort.
      method: "grids", grids of numbers and machines over them; "machine", one machine of the
        position; None for what is better at that size.
      workdir: folder for checkpoints; the same call then goes on after an interruption.

    Raises:
      UsageError: the image cannot be read, or is too small for what is asked.
      DfmError: training diverged or was interrupted.
    """
    if bpp is None and psnr is None and percent is None:
        bpp = _DEFAULT_BPP
    from dfm_flax.codec import encoder  # which brings all of training
    from dfm_flax.codec.goal import Goal

    goal = Goal(bpp=bpp, psnr=psnr, percent=percent)
    source = _one_file(image) if isinstance(image, str | Path) else _as_image(image)
    with temporary_folder() as folder:
        file = Path(folder) / f"image{container.SUFFIX}"
        (entry,) = encoder.encode(
            [source], [file], goal, num_steps, workdir, seed, effort=effort, method=method
        )
        known = ("bpp", "psnr", "ms_ssim", "weights", "reached")
        return Encoded(file.read_bytes(), **{name: entry[name] for name in known})


def decode(
    file: str | Path | bytes | Encoded, *, scale: float = 1.0, region: Region | None = None
) -> Float32[np.ndarray, "height width channels"]:
    """The image in [0, 1] of a `.dfm` file, with the levels that it is stored with.

    Args:
      file: its path or its bytes.
      scale: of each side, relative to the image that was compressed; any above 0.
      region: (left, top, width, height) of the part to decode, in pixels of the scaled image.

    Raises:
      UsageError: it is no `.dfm` file, or a damaged one, or the image does not fit in memory.
    """
    if not 0 < scale < math.inf:
        raise UsageError(f"scale={scale}: a number above 0")
    if isinstance(file, str | Path):
        image = container.read(file)
    else:
        image = container.from_bytes(bytes(file))
    pixels = decoder.draw(
        image, scale, region, str(file) if isinstance(file, str | Path) else "data"
    )
    return np.rint(pixels * np.float32(image.levels)) / np.float32(image.levels)


def _one_file(source: str | Path) -> str:
    path = str(source) if str(source).startswith(SAMPLE_PREFIX) else str(local_path(source))
    if Path(path).is_dir():
        raise UsageError(f"{source}: a folder; give one image")
    return path


def _as_image(array: ArrayLike) -> Image:
    pixels = np.asarray(array)
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3) or not pixels.size:
        raise UsageError(f"an image of shape {pixels.shape}: [H, W, 1] or [H, W, 3] is wanted")
    levels = 65535 if pixels.dtype == np.uint16 else 255
    if pixels.dtype in (np.uint8, np.uint16):
        pixels = pixels / np.float32(levels)
    elif not np.issubdtype(pixels.dtype, np.floating):
        raise UsageError(
            f"an image of {pixels.dtype}: floats in [0, 1], uint8 or uint16 are wanted"
        )
    if not (pixels.min() >= 0 and pixels.max() <= 1):  # also catches NaN
        raise UsageError(f"an image from {pixels.min()} to {pixels.max()}: [0, 1] is wanted")
    return Image(np.asarray(pixels, np.float32), levels, "image")
