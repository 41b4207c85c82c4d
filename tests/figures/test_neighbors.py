"""Tests of the picture of neighbors: each image is where it belongs, pixel by pixel."""

import numpy as np
import PIL.Image
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.figures.neighbors import neighbors_figure


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (60, 40, 3)])
def test_images_stand_in_rows(tmp_path, shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, *shape), np.uint8)
    near = rng.integers(0, 256, (3, 2, *shape), np.uint8)
    path = tmp_path / "figures" / "n.png"
    neighbors_figure(path, images, {"by pixels": near, "by features": near[:, ::-1]}, title="$x")
    picture = np.asarray(PIL.Image.open(path).convert("RGB")).astype(int)
    scale = max(1, -(-48 // max(shape[:2])))
    height, width = scale * shape[0] + 4, scale * shape[1] + 4
    bottom = picture.shape[0] - 16
    widths = [max(width - 4, 8 * len("generated")), max(2 * width - 4, 8 * len("by pixels"))]
    lefts = [16, 16 + widths[0] + 24, 16 + sum(widths) + 48]

    def at(panel, row, column):
        top, left = bottom - 3 * height + 4 + row * height, lefts[panel] + column * width
        box = picture[top : top + height - 4, left : left + width - 4]
        return box[scale // 2 :: scale, scale // 2 :: scale]

    for row in range(3):
        for panel, column, expected in [
            (0, 0, images[row]),
            (1, 0, near[row, 0]),
            (1, 1, near[row, 1]),
            (2, 0, near[row, 1]),
            (2, 1, near[row, 0]),
        ]:
            colors = np.broadcast_to(expected, (*shape[:2], 3))
            assert np.abs(at(panel, row, column) - colors).max() <= 1


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    images = np.zeros((1, 8, 8, 1), np.uint8)
    with pytest.raises(UsageError, match="cannot write"):
        neighbors_figure(tmp_path / "file" / "n.png", images, {"a": images[:, None]}, title="")
