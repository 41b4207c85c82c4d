import jax
import numpy as np
import pytest
import scipy.fft

from dfm_flax.models.grids import cosine_matrix, cosine_weights, grid_at


def textbook(nodes, at):
    """By the coefficients of the series that is 1 at a node, in float64."""
    k = np.arange(nodes)
    coefficients = np.cos(np.pi / nodes * np.outer(k, k + 0.5)) * (2 - (k == 0))[:, None] / nodes
    return np.cos(np.pi / nodes * np.outer(at, k)) @ coefficients


@pytest.mark.parametrize("nodes", [1, 2, 3, 17, 400])
def test_a_series_has_its_values_at_nodes(nodes):
    matrix = cosine_matrix(nodes, np.arange(nodes) + 0.5)
    np.testing.assert_allclose(matrix, np.eye(nodes), atol=1e-6)
    assert matrix.dtype == np.float32


@pytest.mark.parametrize("nodes", [1, 2, 3, 17, 400])
def test_between_them_it_is_the_sum_of_cosines(nodes):
    at = np.random.default_rng(0).uniform(0, nodes, 50)
    # So near to nodes, and to ends, that differences cancel; and on both sides of the ends.
    at = np.concatenate(
        [at, nodes / 2 + np.array([1e-9, -1e-7, 1e-5, 1e-3]), [0, nodes, -0.4, nodes + 0.4]]
    )
    at = np.concatenate([at, 0.5 + np.array([1e-9, 1e-7, 2e-6, 1e-5]), nodes - 0.5 - at[:4] * 1e-6])
    np.testing.assert_allclose(cosine_matrix(nodes, at), textbook(nodes, at), atol=3e-6)


@pytest.mark.parametrize("nodes", [1, 2, 5, 12])
def test_three_positions_a_cell_are_an_inverse_transform_of_three_times_the_length(nodes):
    values = np.random.default_rng(1).normal(size=nodes)
    spectrum = np.pad(scipy.fft.dct(values, type=2), (0, 2 * nodes))
    expected = 3 * scipy.fft.idct(spectrum, type=2)
    at = (np.arange(3 * nodes) + 0.5) / 3
    np.testing.assert_allclose(cosine_matrix(nodes, at) @ values, expected, atol=1e-5)


@pytest.mark.parametrize("nodes", [1, 2, 8])
def test_weights_at_positions_of_jax_are_those_of_the_matrix(nodes):
    at = np.random.default_rng(4).uniform(-1, nodes + 1, 50)
    found = jax.jit(lambda at: cosine_weights(nodes, at))(at.astype(np.float32))
    np.testing.assert_allclose(found, cosine_matrix(nodes, at), atol=1e-5)


def test_beyond_its_ends_it_is_its_mirror_image():
    at = np.random.default_rng(2).uniform(0, 7, 30)
    expected = cosine_matrix(7, at)
    for mirrored in (-at, 14 - at, 14 + at, at - 28):
        np.testing.assert_allclose(cosine_matrix(7, mirrored), expected, atol=1e-5)


def test_a_constant_is_met_everywhere():
    sums = cosine_matrix(300, np.linspace(0, 300, 1000)).astype(np.float64).sum(axis=1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_a_grid_is_a_product_of_both_lines():
    rng = np.random.default_rng(3)
    grid = rng.normal(size=(4, 6)).astype(np.float32)
    y, x = rng.uniform(0, 4, 9), rng.uniform(0, 6, 5)
    expected = textbook(4, y) @ grid @ textbook(6, x).T
    np.testing.assert_allclose(
        grid_at(grid, cosine_matrix(4, y), cosine_matrix(6, x)), expected, atol=1e-5
    )
