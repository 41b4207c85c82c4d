"""What a comparison keeps of images."""

import numpy as np
import pytest

from dfm_flax.codec.comparison import center


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((20, 30, 3), (0, 20), (0, 30)), ((300, 1000, 1), (22, 278), (308, 692))],
)
def test_of_large_images_the_center_alone_is_kept(shape, rows, columns):
    pixels = np.random.default_rng(0).random(shape)
    part = center(pixels)
    np.testing.assert_array_equal(part, pixels[slice(*rows), slice(*columns)])
    assert part.base is None  # the rest can go
