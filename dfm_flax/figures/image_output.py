"""Sets of images of one size as files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dfm_flax.data.image_files import writable_suffixes
from dfm_flax.data.images import write_image
from dfm_flax.figures.grids import image_grid
from dfm_flax.files import atomic_path
from dfm_flax.outputs import Outputs


def claim_images(outputs: Outputs, num: int) -> list[Path]:
    """Claims the files that `num` images will be written to, as OUT says.

    An image suffix such as .png gives one picture, a grid; .npz the array `images` in 8 bits,
    [B, H, W, C]; a folder 00000.png, 00001.png and so on.

    Raises:
      UsageError: the suffix is another, or a file is there or cannot be written.
    """
    if outputs.is_folder({".npz", *writable_suffixes()}):
        return outputs.folder([f"{i:05}.png" for i in range(num)])
    return [outputs.claim(outputs.path)]


def write_images(
    paths: Sequence[Path],
    images: Float[np.ndarray, "images height width channels"],
    columns: int | None = None,
) -> None:
    """Writes images in [0, 1] to the paths that `claim_images` gave.

    Raises:
      UsageError: a path cannot be written.
    """
    if len(paths) > 1:
        for path, image in zip(paths, images, strict=True):
            write_image(path, image)
    elif paths[0].suffix.lower() == ".npz":
        with atomic_path(paths[0]) as temporary:
            np.savez_compressed(temporary, images=np.rint(255 * images).astype(np.uint8))
    else:
        write_image(paths[0], image_grid(images, columns))
