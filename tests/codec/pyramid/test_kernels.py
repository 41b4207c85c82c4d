"""The compiled kernels against what JAX makes of the same formulas: values and all gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.codec.pyramid import kernels
from dfm_flax.codec.pyramid.filter import filtered
from dfm_flax.codec.pyramid.network import Network
from dfm_flax.fourier import by_xla


def by_both(function, *arguments):
    """A function's values and gradients in all arguments, by kernels and by XLA.

    It returns a scalar and what it comes from.
    """

    def both(*arguments):
        return jax.value_and_grad(function, range(len(arguments)), has_aux=True)(*arguments)

    assert kernels.chosen()
    ((_, value), gradients) = jax.jit(both)(*arguments)
    with by_xla():
        assert not kernels.chosen()
        ((_, wanted), expected) = jax.jit(lambda *arguments: both(*arguments))(*arguments)
    return (value, gradients), (wanted, expected)


def assert_alike(compiled, expected):
    paths = jax.tree_util.tree_leaves_with_path(expected)
    for (path, wanted), found in zip(paths, jax.tree.leaves(compiled), strict=True):
        scale = np.abs(wanted).max() + 1e-3
        np.testing.assert_allclose(found, wanted, atol=3e-5 * scale, err_msg=str(path))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (40, 61)])
def test_the_synthesis(shape, channels, random_weights):
    """Pixels that are no whole tile, and more than one."""
    network = Network(channels, 4)
    weights = random_weights(network)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, *shape)).astype(np.float32)
    direction = rng.normal(size=(channels, *shape)).astype(np.float32)

    def along(weights, values):
        picture = network.draw(weights, values)
        return jnp.vdot(picture, direction), picture

    compiled, expected = by_both(along, weights, tuple(values))
    assert_alike(compiled, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (37, 70)])
def test_the_filter(shape, channels):
    rng = np.random.default_rng(1)
    picture = rng.normal(size=(channels, *shape)).astype(np.float32)
    weights = rng.normal(size=(channels, 3, 3, channels)).astype(np.float32)
    direction = rng.normal(size=(channels, *shape)).astype(np.float32)

    def along(picture, weights):
        result = filtered(picture, weights)
        return jnp.vdot(result, direction), result

    compiled, expected = by_both(along, picture, weights)
    assert_alike(compiled, expected)


@pytest.mark.parametrize("shapes", [[(1, 1), (5, 1)], [(45, 70), (23, 35), (1, 18)]])
def test_the_rate(shapes, random_weights):
    """Of numbers that are whole, between, and far away."""
    network = Network(3, len(shapes))
    weights = random_weights(network)
    rng = np.random.default_rng(2)
    grids = []
    for i, shape in enumerate(shapes):
        grid = rng.laplace(0, 1.5, shape)
        grid = np.where(rng.random(shape) < 0.5, np.rint(grid), grid)
        grid[0, -1] = 60 * (-1) ** i
        grids.append(grid.astype(np.float32))

    def bits(weights, grids):
        total = network.bits(weights, grids)
        return total, total

    compiled, expected = by_both(bits, weights, tuple(grids))
    assert_alike(compiled, expected)


def test_the_rate_in_parts_of_a_sum(random_weights):
    """A cotangent other than 1 scales the gradients."""
    network = Network(1, 1)
    weights = random_weights(network)
    grid = np.random.default_rng(3).laplace(0, 1, (6, 5)).astype(np.float32)
    one = jax.grad(lambda g: network.bits(weights, (g,)))(grid)
    scaled = jax.grad(lambda g: -2.5 * network.bits(weights, (g,)))(grid)
    np.testing.assert_allclose(scaled, -2.5 * one, rtol=1e-5)
