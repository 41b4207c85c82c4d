import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.rendering import _TILE, _tile, render


class Gradient(nn.Module):
    """Shows its argument: red is x, green is y, blue is out of range."""

    def __call__(self, positions):
        x, y = 2 * positions[..., 0] - 1, 2 * positions[..., 1] - 1
        return jnp.stack([x, y, jnp.full_like(x, 3.0)], axis=-1)


def test_pixels_are_the_model_at_their_centers_over_many_tiles():
    height, width = 70, 2 * _TILE // 70 + 3
    image = render(Gradient(), {}, height, width)
    assert image.shape == (height, width, 3)
    np.testing.assert_allclose(image[3, :, 0], (np.arange(width) + 0.5) / width, atol=1e-6)
    np.testing.assert_allclose(image[:, 5, 1], (np.arange(height) + 0.5) / height, atol=1e-6)
    assert (image[..., 2] == 1).all()


@pytest.mark.parametrize("basis", ["full", "additive"])
def test_machines_are_drawn_in_float32_on_every_device(precisions, basis):
    machine = FourierMachine(3, 4, basis=basis)
    params = machine.init(jax.random.PRNGKey(0), jnp.zeros((1, 2)))["params"]
    grid = np.array([0, 0, 8, 8, 8], np.int32)
    trace = functools.partial(_tile.__wrapped__, machine)
    assert precisions(trace, params, 0, grid) == {"HIGHEST"}
    assert "DEFAULT" in precisions(
        lambda x: machine.apply({"params": params}, x), np.zeros((1, 2), np.float32)
    )


def test_one_pixel():
    np.testing.assert_allclose(render(Gradient(), {}, 1, 1), [[[0.5, 0.5, 1]]])


def test_more_pixels_than_can_be_counted_are_refused():
    with pytest.raises(UsageError, match="50000 x 50000 are too many pixels"):
        render(Gradient(), {}, 50_000, 50_000)


def test_a_region_is_that_part_of_the_image():
    height, width = 300, 400
    whole = render(Gradient(), {}, height, width)
    part = render(Gradient(), {}, height, width, (30, 20, 350, 100))
    np.testing.assert_array_equal(part, whole[20:120, 30:380])


def test_a_region_of_more_pixels_than_can_be_counted():
    part = render(Gradient(), {}, 2**20, 2**20, (2**20 - 2, 0, 2, 3))
    np.testing.assert_allclose(part[..., 0], 1, atol=1e-5)
    np.testing.assert_allclose(part[..., 1], 0, atol=1e-5)


@pytest.mark.parametrize("region", [(0, 0, 11, 5), (8, 0, 3, 1), (0, 0, 0, 1), (-1, 0, 2, 2)])
def test_regions_outside_are_refused(region):
    with pytest.raises(UsageError, match="region"):
        render(Gradient(), {}, 5, 10, region)
