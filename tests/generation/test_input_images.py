import logging

import numpy as np
import PIL.Image
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.generation.generator import ImageShape
from dfm_flax.generation.input_images import read_images

RNG = np.random.default_rng(0)


def saved(path, *shape):
    pixels = RNG.integers(0, 256, shape, np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return pixels


def test_images_of_the_right_kind_are_read_as_they_are(tmp_path, caplog):
    pixels = [saved(tmp_path / f"{i}.png", 6, 8, 3) for i in range(2)]
    with caplog.at_level(logging.WARNING):
        images = read_images([tmp_path / "0.png", tmp_path / "1.png"], ImageShape(6, 8, 3))
    np.testing.assert_allclose(images, np.stack(pixels) / 255, atol=1e-6)
    assert not caplog.records


def test_others_are_brought_to_the_size_and_reported(tmp_path, caplog):
    saved(tmp_path / "wide.png", 20, 31, 3)
    with caplog.at_level(logging.WARNING):
        images = read_images([tmp_path / "wide.png"], ImageShape(6, 8, 3))
    assert images.shape == (1, 6, 8, 3)
    assert "wide.png: resized and cut to 8x6" in caplog.text


def test_colors_and_gray_are_turned_into_each_other(tmp_path, caplog):
    pixels = saved(tmp_path / "color.png", 4, 4, 3) / 255
    (gray,) = read_images([tmp_path / "color.png"], ImageShape(4, 4, 1))
    luminance = 0.299 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.114 * pixels[..., 2]
    np.testing.assert_allclose(gray[..., 0], luminance, atol=1e-6)
    pixels = saved(tmp_path / "gray.png", 4, 4) / 255
    (color,) = read_images([tmp_path / "gray.png"], ImageShape(4, 4, 3))
    np.testing.assert_allclose(color, np.repeat(pixels[..., None], 3, -1), atol=1e-6)
    assert "color.png: turned to gray" in caplog.text
    assert "gray.png: turned to color" in caplog.text


def test_no_image(tmp_path):
    with pytest.raises(UsageError, match="no image given"):
        read_images([], ImageShape(4, 4, 1))
    with pytest.raises(UsageError, match=r"missing\.png"):
        read_images([tmp_path / "missing.png"], ImageShape(4, 4, 1))
