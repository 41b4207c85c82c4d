"""Tests of the figure of a reconstruction: it is a picture, so its pixels are looked at."""

import os

import numpy as np
import PIL.Image
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.figures.reconstruction import ERROR_GAIN, reconstruction_figure

CURVE = [(0, 10.0), (1000, 20.0), (2000, 22.0)]


def figure(tmp_path, original, reconstruction, curve=CURVE, title="camera"):
    """The figure's pixels, uint8 [H, W, 3]."""
    path = tmp_path / "figure.png"
    reconstruction_figure(path, original, reconstruction, curve, title=title)
    assert os.listdir(tmp_path) == ["figure.png"]
    with PIL.Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def box_of(pixels, color):
    """(height, width, top, left) of the box around all pixels of one color."""
    rows, columns = np.nonzero((pixels == color).all(axis=-1))
    return np.ptp(rows) + 1, np.ptp(columns) + 1, rows.min(), columns.min()


def filled(color, height, width):
    return np.broadcast_to(np.asarray(color) / 255, (height, width, len(color)))


def test_pictures_are_drawn_pixel_by_pixel_side_by_side(tmp_path):
    pixels = figure(tmp_path, filled((200, 50, 20), 400, 420), filled((190, 70, 25), 400, 420))
    original, reconstruction = box_of(pixels, (200, 50, 20)), box_of(pixels, (190, 70, 25))
    error = box_of(pixels, ERROR_GAIN * np.array([10, 20, 5]))
    assert original[:2] == reconstruction[:2] == error[:2] == (400, 420)
    assert original[2] == reconstruction[2] == error[2]
    assert original[3] < reconstruction[3] < error[3] < pixels.shape[1] - 420


@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_is_kept_when_it_is_not_enlarged(tmp_path, channels):
    original = np.random.default_rng(0).integers(0, 256, (300, 300, channels), dtype=np.uint8)
    pixels = figure(tmp_path, original / 255, np.zeros(original.shape))[..., :channels]
    corner = np.lib.stride_tricks.sliding_window_view(pixels, (2, 2, channels))[:, :, 0]
    tops, lefts = np.nonzero((corner == original[:2, :2]).all(axis=(-1, -2, -3)))
    assert any(
        np.array_equal(pixels[top : top + 300, left : left + 300], original)
        for top, left in zip(tops, lefts, strict=True)
    )


def test_small_images_become_whole_squares(tmp_path):
    image = np.zeros((2, 2, 3))
    image[0, 0] = filled((200, 50, 20), 1, 1)
    pixels = figure(tmp_path, image, np.zeros_like(image))
    assert box_of(pixels, (200, 50, 20))[:2] == (256, 256)


def test_wide_images_are_stacked(tmp_path):
    pixels = figure(tmp_path, filled((200, 50, 20), 50, 500), filled((190, 60, 30), 50, 500))
    original, reconstruction = box_of(pixels, (200, 50, 20)), box_of(pixels, (190, 60, 30))
    assert original[:2] == (50, 500)
    assert original[3] == reconstruction[3]
    assert original[2] + 50 < reconstruction[2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (900, 700)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_is_visible_and_the_figure_stays_moderate(tmp_path, shape, channels):
    color = (200, 50, 20)[-channels:]
    image = filled(color, *shape)
    pixels = figure(tmp_path, image, np.zeros_like(image))
    height, width, *_ = box_of(pixels, color if channels == 3 else color * 3)
    assert min(height, width) >= 24
    assert max(pixels.shape) < 3000


def test_curve_reaches_the_figure(tmp_path):
    image = np.zeros((20, 20, 1))
    blue = (31, 119, 180)
    without = figure(tmp_path, image, image, [])
    dot = figure(tmp_path, image, image, [(5, 20.0)])
    line = figure(tmp_path, image, image, [*CURVE, (3000, float("inf"))])
    counts = [(pixels == blue).all(axis=-1).sum() for pixels in (without, dot, line)]
    assert counts[0] == 0 < counts[1] < counts[2]


def test_title_is_plain_text(tmp_path):
    image = np.zeros((20, 20, 1))
    untitled = figure(tmp_path, image, image, title="")
    titled = figure(tmp_path, image, image, title=r"cost_$\frac{1$.png")  # no mathematics
    assert (untitled[:40] == 255).all()
    assert (titled[:40] < 128).any()


def test_values_beyond_the_range_are_clipped(tmp_path):
    pixels = figure(tmp_path, filled((200, 50, 20), 300, 300), np.full((300, 300, 3), -1.0))
    assert box_of(pixels, (200, 50, 20))[:2] == (300, 300)


@pytest.mark.parametrize("shapes", [((4, 4, 3), (4, 4, 1)), ((4, 4), (4, 4)), ((4, 4, 2),) * 2])
def test_shapes_must_agree(tmp_path, shapes):
    with pytest.raises(ValueError, match="one shape"):
        figure(tmp_path, *(np.zeros(shape) for shape in shapes))


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    image = np.zeros((4, 4, 1))
    with pytest.raises(UsageError):
        reconstruction_figure(tmp_path / "file" / "x.png", image, image, [], title="")
