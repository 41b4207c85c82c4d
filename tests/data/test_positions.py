import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfm_flax.data.positions import Target, draw_pixels, interpolated, pixel_positions, shifted


def test_positions_are_pixel_centers_in_the_unit_square():
    positions = np.asarray(pixel_positions(np.arange(6), 2, 3)).reshape(2, 3, 2)
    np.testing.assert_allclose(positions[0, :, 0], [1 / 6, 3 / 6, 5 / 6], rtol=1e-6)
    np.testing.assert_allclose(positions[:, 0, 1], [1 / 4, 3 / 4], rtol=1e-6)


def test_positions_are_exact_in_large_images():
    index = np.array([11_999_999, 11_999_998, 4000 * 1500])
    x, y = np.asarray(pixel_positions(index, 3000, 4000), np.float64).T
    np.testing.assert_allclose(x, [3999.5 / 4000, 3998.5 / 4000, 0.5 / 4000], rtol=1e-6)
    np.testing.assert_allclose(y, [2999.5 / 3000, 2999.5 / 3000, 1500.5 / 3000], rtol=1e-6)


def test_images_of_different_sizes_stack_and_keep_their_pixels():
    rng = np.random.default_rng(0)
    images = [rng.random((4, 5, 3)), rng.random((2, 3, 3))]
    stacked = Target.stack(images)
    assert stacked.pixels.shape == (2, 20, 3)
    for i, image in enumerate(images):
        target = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
        row, column = 1, 2
        _, (color,) = target.at(np.array([row * image.shape[1] + column]))
        np.testing.assert_allclose((color + 1) / 2, image[row, column], atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 500), st.integers(0, 2**31 - 1))
def test_stratified_draws_have_one_pixel_in_each_run(height, width, num, seed):
    drawn = np.asarray(draw_pixels(jax.random.PRNGKey(seed), height * width, num, stratified=True))
    ends = np.arange(num + 1) * height * width / num
    assert (drawn >= np.floor(ends[:-1] - 1e-3)).all()
    assert (drawn < np.ceil(ends[1:] + 1e-3)).all()
    assert drawn.max() < height * width


@pytest.mark.parametrize("stratified", [False, True])
def test_every_pixel_is_drawn_equally_often(stratified):
    keys = jax.random.split(jax.random.PRNGKey(0), 500)
    drawn = jax.vmap(lambda key: draw_pixels(key, 7 * 9, 40, stratified))(keys)
    counts = np.bincount(np.ravel(drawn), minlength=63)
    expected = 500 * 40 / 63
    assert counts.shape == (63,)
    np.testing.assert_allclose(counts, expected, atol=5 * expected**0.5)


def test_a_pixel_has_its_own_color_at_its_center():
    images = np.random.default_rng(0).random((2, 4, 5, 3)).astype(np.float32)
    colors = interpolated(images, pixel_positions(np.arange(20), 4, 5))
    np.testing.assert_allclose(colors, images.reshape(2, 20, 3), atol=1e-6)


def test_a_parabola_is_interpolated_exactly_inside():
    """Cubic convolution has third order (Keys 1981): it reproduces polynomials of degree 2."""
    x, y = np.meshgrid(np.arange(9) + 0.5, np.arange(7) + 0.5)
    color = lambda x, y: 1 + x - 2 * y + 0.3 * x**2 - 0.1 * y**2  # noqa: E731
    images = color(x, y)[None, ..., None].astype(np.float32)
    places = np.random.default_rng(0).uniform([2, 2], [7, 5], (50, 2))
    found = interpolated(images, (places / [9, 7]).astype(np.float32))[0, :, 0]
    np.testing.assert_allclose(found, color(*places.T), rtol=1e-4)


def test_shifted_positions_stay_between_the_outermost_centers():
    index = np.arange(20)
    shift = np.random.default_rng(0).uniform(-3, 3, (20, 2))
    found = np.asarray(shifted(index, shift, 4, 5)) * [5, 4]
    expected = np.stack([index % 5, index // 5], axis=1) + 0.5 + shift
    np.testing.assert_allclose(found, np.clip(expected, 0.5, [4.5, 3.5]), atol=1e-5)


def test_an_image_of_one_pixel_is_constant():
    images = np.full((1, 1, 1, 1), 0.7, np.float32)
    assert interpolated(images, np.array([[0.5, 0.5]], np.float32)) == pytest.approx(0.7)
