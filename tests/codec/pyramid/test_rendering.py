import itertools

import jax
import numpy as np
import pytest

from dfm_flax.codec.pyramid import kernels, rendering
from dfm_flax.codec.pyramid.geometry import values_at
from dfm_flax.codec.pyramid.image import gain_of
from dfm_flax.errors import UsageError


def by_textbook(image, textbook, at_y, at_x):
    """Colors [C, y, x] at positions in pixels of the original, by the formulas in float64."""

    def series(at, size):
        k = np.arange(size)
        to_coefficients = np.cos(np.pi / size * np.outer(k, k + 0.5)) * 2 / size
        to_coefficients[0] /= 2
        return np.cos(np.pi / size * np.outer(at, k)) @ to_coefficients

    def draw(at_y, at_x):
        values = [
            gain_of(image.gain_code)
            / 2 ** max(0, exponent - 2)
            * (series(at_y / 2**exponent, len(grid)) @ grid)
            @ series(at_x / 2**exponent, grid.shape[1]).T
            for grid, exponent in zip(image.grids, image.pyramid.exponents, strict=True)
        ]
        return textbook.draw(weights, np.array(values))

    weights = image.weights.floats
    total = draw(at_y, at_x)
    for a, b in itertools.product(range(3), repeat=2):
        y = at_y if a == 1 else np.clip(at_y + a - 1, 0.5, image.height - 0.5)
        x = at_x if b == 1 else np.clip(at_x + b - 1, 0.5, image.width - 0.5)
        taps = weights["filter"][:, a, b].astype(np.float64)
        total = total + np.einsum("oc,cyx->oyx", taps, draw(y, x))
    return np.clip(total, 0, 1)


@pytest.mark.parametrize("changes", [{}, {"channels": 1, "first": 1}])
def test_at_its_own_size_it_is_what_is_trained(changes, pyramid_image):
    image = pyramid_image(**changes)
    network, weights = image.weights.network, image.weights.floats
    numbers = tuple(grid.astype(np.float32) for grid in image.grids)
    grids = network.values(numbers, gain_of(image.gain_code))
    picture = network.draw(weights, values_at(grids, image.pyramid.at_pixels()))
    expected = np.clip(network.sharpen(weights, picture), 0, 1).transpose(1, 2, 0)
    found = image.render(11, 18)
    assert found.dtype == np.float32
    assert found.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("height", "width"), [(22, 36), (7, 50), (11, 18), (1, 1)])
def test_any_size_is_the_same_function_at_other_positions(height, width, pyramid_image, textbook):
    image = pyramid_image()
    at_y, at_x = (np.arange(height) + 0.5) * 11 / height, (np.arange(width) + 0.5) * 18 / width
    expected = by_textbook(image, textbook, at_y, at_x).transpose(1, 2, 0)
    np.testing.assert_allclose(image.render(height, width), expected, atol=3e-5)


@pytest.mark.parametrize("size", [(11, 18), (29, 41)])
def test_tiles_do_not_show(size, pyramid_image, monkeypatch):
    image = pyramid_image()
    whole = image.render(*size)
    monkeypatch.setattr(rendering, "_ROWS", 4)
    monkeypatch.setattr(rendering, "_COLUMNS", 7)
    np.testing.assert_allclose(image.render(*size), whole, atol=2e-6)


@pytest.mark.parametrize("region", [(0, 0, 36, 22), (5, 3, 20, 9), (35, 21, 1, 1), (0, 10, 36, 2)])
def test_a_region_is_a_part_of_the_whole(region, pyramid_image):
    image = pyramid_image()
    left, top, width, height = region
    expected = image.render(22, 36)[top : top + height, left : left + width]
    np.testing.assert_allclose(image.render(22, 36, region), expected, atol=2e-6)


def test_a_region_beyond_the_picture_is_told(pyramid_image):
    with pytest.raises(UsageError, match="not within the 18x11 pixels"):
        pyramid_image().render(11, 18, (10, 0, 9, 5))


@pytest.mark.parametrize("levels", [255, 65535])
def test_samples_have_the_levels_of_the_image(levels, pyramid_image):
    image = pyramid_image(levels=levels, channels=1)
    samples = image.decoded() * np.float64(levels)
    assert samples.shape == (11, 18, 1)
    np.testing.assert_allclose(samples, np.rint(samples), atol=0.01)
    assert np.abs(image.decoded() - image.render(11, 18)).max() <= 0.51 / levels


def test_without_compiled_code_it_is_the_same(pyramid_image, monkeypatch):
    image = pyramid_image()
    compiled = image.render(11, 18)
    monkeypatch.setattr(kernels, "chosen", lambda: False)
    jax.clear_caches()  # kernels are chosen when a function is traced
    np.testing.assert_allclose(image.render(11, 18), compiled, atol=2e-5)


def test_long_lines_have_short_matrices(pyramid_image, monkeypatch):
    """A line of the longest side is drawn in parts, whose matrices are megabytes."""
    image = pyramid_image(2**15, 1, count=1)
    asked = []
    rows_at = type(image.pyramid).rows_at
    monkeypatch.setattr(
        type(image.pyramid),
        "rows_at",
        lambda pyramid, at: asked.append(len(at)) or rows_at(pyramid, at),
    )
    image.render(2**15, 1, (0, 1000, 1, 300))
    assert max(asked) <= rendering._ROWS + 2
