import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.codec.pyramid import kernels
from dfm_flax.codec.pyramid.filter import filtered
from dfm_flax.codec.pyramid.network import NEIGHBORS, Network
from dfm_flax.codec.pyramid.rate import laplace_bits


@pytest.fixture(params=["kernels", "xla"])
def path(request, monkeypatch):
    if request.param == "xla":
        monkeypatch.setattr(kernels, "chosen", lambda: False)
    else:
        assert kernels.chosen()
    return request.param


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_the_textbooks(path, channels, random_weights, textbook):
    network = Network(channels, 3)
    weights = random_weights(network)
    values = np.random.default_rng(1).normal(size=(3, 5, 7)).astype(np.float32)
    drawn = network.draw(weights, tuple(values))
    np.testing.assert_allclose(drawn, textbook.draw(weights, values), atol=2e-5)
    expected = np.asarray(drawn) + filtered(drawn, weights["filter"])
    np.testing.assert_allclose(network.sharpen(weights, drawn), expected, atol=1e-6)


@pytest.mark.parametrize("start", [0, 1])
def test_bits_are_the_textbooks(path, start, random_weights, textbook):
    network = Network(3, 3, 2, start)
    weights = random_weights(network)
    rng = np.random.default_rng(2)
    grids = tuple(
        np.rint(rng.laplace(0, 2, shape)).astype(np.float32) for shape in [(4, 6), (2, 3), (1, 1)]
    )
    fineness = [0, 0, 0] if start == 0 else [0, 1, 2]
    mean, log_scale = textbook.predict(weights, grids, NEIGHBORS, fineness)
    found = network.predict(weights, grids)
    np.testing.assert_allclose(found[0], mean, atol=2e-5)
    np.testing.assert_allclose(found[1], log_scale, atol=2e-5)
    numbers = np.concatenate([grid.ravel() for grid in grids])
    expected = np.asarray(laplace_bits(numbers, jnp.float32(mean), jnp.float32(log_scale))).sum()
    assert network.bits(weights, grids) == pytest.approx(float(expected), rel=1e-5)


def test_groups_are_the_rows_of_a_frequency():
    network = Network(3, 4)
    rows = {name: [] for name in network.shapes}
    for group in network.groups:
        rows[group.name].append(group.rows.tolist())
    first = [[0], [1, 2, 3, 4, 9, 10, 11, 12], [5, 6, 7, 8, 13, 14, 15, 16]]
    assert rows["first"] == first
    # The second layer has no constant of its own: bias and levels are that.
    low, high = (np.concatenate([np.arange(12) + i, np.arange(12) + 24 + i]) for i in (0, 12))
    assert rows["last"] == [low.tolist(), high.tolist()]
    assert rows["context_first"] == [[0], list(range(1, 17))]
    assert rows["context_last"] == [list(range(16))]
    for name, shape in network.shapes.items():
        assert sorted(row for group in rows[name] for row in group) == list(range(shape[0]))
    assert network.num_weights == sum(np.prod(shape) for shape in network.shapes.values())
    assert network.num_weights == 4 + 17 * 12 + 48 * 3 + 12 + 3 + 81 + 8 + 17 * 8 + 32 + 16 + 8


def test_a_row_of_neighbors_ends_at_the_edge():
    """The right one of the row above is none of the next row's first places."""
    network = Network(1, 1)
    weights = {name: np.zeros(shape, np.float32) for name, shape in network.shapes.items()}
    for i, (dy, dx) in enumerate(NEIGHBORS):
        weights["context_linear"][:] = 0
        weights["context_linear"][i, 0] = 1
        grid = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
        mean, _ = network.predict(weights, (jax.numpy.asarray(grid),))
        padded = np.pad(grid, 2)
        expected = padded[2 + dy : 5 + dy, 2 + dx : 6 + dx]
        np.testing.assert_allclose(mean.reshape(3, 4), expected)
