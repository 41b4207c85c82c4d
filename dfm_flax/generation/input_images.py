"""Image files brought to the size and channels that a generator was trained on."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from dfm_flax.data.images import prepare, read_image
from dfm_flax.errors import UsageError
from dfm_flax.generation.generator import ImageShape

log = logging.getLogger(__name__)

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def read_images(
    files: Sequence[str | Path], shape: ImageShape
) -> Float32[np.ndarray, "batch {shape.height} {shape.width} {shape.channels}"]:
    """Images in [0, 1] of that shape from files of any size.

    Another size is brought to it by a resize and a cut of the center, colors to gray by
    their luminance and gray to equal colors; each such file is reported.

    Raises:
      UsageError: no file is given, or one cannot be read, see `data.images.read_image`.
    """
    if not files:
        raise UsageError("no image given; use --images FILE FILE or --split NAME")
    return np.stack([_read(file, shape) for file in files])


def _read(
    file: str | Path, shape: ImageShape
) -> Float32[np.ndarray, "{shape.height} {shape.width} {shape.channels}"]:
    image = read_image(file)
    size = shape.height, shape.width
    if image.pixels.shape[:2] != size:
        log.warning("%s: resized and cut to %dx%d", file, shape.width, shape.height)
        have = image.pixels.shape[:2]
        shorter = max(-(-min(have) * want // side) for want, side in zip(size, have, strict=True))
        image = prepare(image, shorter, size)
    pixels = image.pixels
    if pixels.shape[-1] == shape.channels:
        return pixels
    log.warning("%s: turned to %s", file, "gray" if shape.channels == 1 else "color")
    if shape.channels == 1:
        return (pixels @ _LUMINANCE)[..., None]
    return np.repeat(pixels, shape.channels, axis=-1)
