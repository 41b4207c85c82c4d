"""Sets of images of one size as files."""

from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import Float

from dfm_flax.data.images import write_image
from dfm_flax.errors import UsageError
from dfm_flax.figures.grids import image_grid
from dfm_flax.files import atomic_path


def write_images(
    path: str | Path,
    images: Float[np.ndarray, "images height width channels"],
    columns: int | None = None,
) -> None:
    """Writes images in [0, 1] as the suffix of the path says.

    An image suffix such as .png gives one picture, a grid; .npz the array `images` in 8 bits,
    [B, H, W, C]; none a folder of 00000.png, 00001.png and so on.

    Raises:
      UsageError: the suffix is another, or the path cannot be written.
    """
    check_writable(path)
    path = Path(path)
    if path.suffix == ".npz":
        with atomic_path(path) as temporary:
            np.savez_compressed(temporary, images=np.rint(255 * images).astype(np.uint8))
    elif path.suffix:
        write_image(path, image_grid(images, columns))
    else:
        for i, image in enumerate(images):
            write_image(path / f"{i:05}.png", image)


def check_writable(path: str | Path) -> None:
    """Raises UsageError for a suffix that `write_images` does not know: before any work."""
    suffix = Path(path).suffix.lower()
    image_format = PIL.Image.registered_extensions().get(suffix)
    if suffix not in ("", ".npz") and image_format not in PIL.Image.SAVE:
        raise UsageError(
            f"cannot write {path}: use an image suffix such as .png, .npz for an array, or none "
            "for a folder"
        )
