"""Images from `.dfm` files."""

from pathlib import Path

from dfm_flax.codec import container
from dfm_flax.data.images import write_image
from dfm_flax.data.memory import check_fits
from dfm_flax.models.rendering import Region, render


def decompress(
    file: str | Path, out: str | Path, scale: float = 1.0, region: Region | None = None
) -> None:
    """Decodes a file to an image file.

    Args:
      out: the format follows from the suffix, see `write_image`.
      scale: of each side, relative to the image that was compressed.
      region: (left, top, width, height) of the part to decode, in pixels of the scaled image.

    Raises:
      UsageError: the file cannot be read, or the image not be written or held in memory.
    """
    image = container.read(file)
    height, width = (max(1, round(side * scale)) for side in (image.height, image.width))
    pixels = region[2] * region[3] if region else height * width
    # 4 bytes a sample while it is drawn, up to 2 as an integer, and as much being encoded.
    check_fits(8 * pixels * image.machine.channels, f"{file}: an image of {pixels:,} pixels")
    write_image(out, render(image.machine, image.params, height, width, region), image.levels)
