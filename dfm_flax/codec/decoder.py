"""Images from `.dfm` files."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from dfm_flax.codec import container
from dfm_flax.codec.coded_image import CodedImage
from dfm_flax.data.images import write_image
from dfm_flax.data.memory import check_fits
from dfm_flax.models.rendering import Region


def decompress(
    file: str | Path, out: str | Path, scale: float = 1.0, region: Region | None = None
) -> None:
    """Decodes a file to an image file.

    Args:
      out: the format follows from the suffix, see `write_image`.
      scale, region: see `draw`.

    Raises:
      UsageError: the file cannot be read, or the image not be written or held in memory.
    """
    image = container.read(file)
    write_image(out, draw(image, scale, region, str(file)), image.levels)


def draw(
    image: CodedImage, scale: float = 1.0, region: Region | None = None, source: str = "data"
) -> Float32[np.ndarray, "height width channels"]:
    """The picture in [0, 1] of an image, not rounded to its levels.

    Args:
      scale: of each side, relative to the image that was compressed.
      region: (left, top, width, height) of the part to draw, in pixels of the scaled image.
      source: where the image is from, for messages.

    Raises:
      UsageError: the region is not in the image, or there is too little memory.
    """
    height, width = (max(1, round(side * scale)) for side in (image.height, image.width))
    pixels = region[2] * region[3] if region else height * width
    # 4 bytes a sample while it is drawn, up to 2 as an integer, and as much being encoded.
    check_fits(8 * pixels * image.channels, f"{source}: an image of {pixels:,} pixels")
    return image.render(height, width, region)
