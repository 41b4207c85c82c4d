import numpy as np
import pytest
import scipy.fft

from dfm_flax.codec.pyramid.geometry import Pyramid, values_at


@pytest.mark.parametrize(
    ("pyramid", "shapes"),
    [
        (Pyramid(5, 9, 0, 4), [(5, 9), (3, 5), (2, 3), (1, 2)]),
        (Pyramid(5, 9, 1, 2), [(3, 5), (2, 3)]),
        (Pyramid(1, 1, 0, 7), [(1, 1)] * 7),
        (Pyramid(64, 65, 6, 1), [(1, 2)]),
    ],
)
def test_as_many_cells_as_cover_the_image(pyramid, shapes):
    assert pyramid.shapes == shapes
    assert pyramid.size == sum(h * w for h, w in shapes)
    assert list(pyramid.exponents) == [pyramid.first + i for i in range(pyramid.count)]


def test_the_finest_grid_has_a_node_a_pixel():
    pyramid = Pyramid(6, 7, 0, 1)
    grid = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
    np.testing.assert_allclose(values_at((grid,), pyramid.at_pixels())[0], grid, atol=1e-5)


def test_coarse_grids_are_transforms_that_zeros_are_added_to():
    """The two-dimensional inverse transform of a grid's spectrum, twice or four times as long."""
    pyramid = Pyramid(8, 12, 1, 2)
    rng = np.random.default_rng(1)
    grids = tuple(rng.normal(size=shape).astype(np.float32) for shape in pyramid.shapes)
    values = values_at(grids, pyramid.at_pixels())
    assert [array.shape for array in values] == [(8, 12)] * 2
    for grid, value, exponent in zip(grids, values, pyramid.exponents, strict=True):
        spectrum = np.zeros((8, 12))
        spectrum[: grid.shape[0], : grid.shape[1]] = scipy.fft.dctn(grid.astype(np.float64))
        np.testing.assert_allclose(value, 4**exponent * scipy.fft.idctn(spectrum), atol=1e-5)


def test_cells_over_the_edge_are_in_their_place():
    """The third cell of two pixels covers the last of five."""
    rows = Pyramid(5, 1, 1, 1).rows_at(np.array([1.0, 3.0, 5.0]))
    np.testing.assert_allclose(rows[0], np.eye(3), atol=1e-6)
