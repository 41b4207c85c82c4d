"""Many images of one size as one picture."""

import math

import numpy as np
from jaxtyping import Float32, Real


def image_grid(
    images: Real[np.ndarray, "images height width channels"],
    columns: int | None = None,
    gap: int = 2,
) -> Float32[np.ndarray, "grid_height grid_width channels"]:
    """Images in [0, 1], row by row, as one with white gaps.

    As near to a square as can be, where `columns` is not given.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    size = rows * (height + gap) - gap, columns * (width + gap) - gap
    picture = np.ones((*size, channels), np.float32)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        picture[top : top + height, left : left + width] = image
    return picture
