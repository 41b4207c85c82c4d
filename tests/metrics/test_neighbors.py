"""Tests of neighbors against brute force by SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from dfm_flax.metrics import neighbors
from dfm_flax.metrics.neighbors import nearest_neighbors, precision_recall


def precision_recall_by_loops(real, generated, k):
    """Equations 1 and 2 of Kynkaanniemi et al. 2019, ball by ball."""

    def covered(points, manifold):
        inside = 0
        for point in points:
            for i, center in enumerate(manifold):
                others = np.delete(manifold, i, axis=0)
                radius = np.sort(np.linalg.norm(others - center, axis=1))[k - 1]
                if np.linalg.norm(point - center) <= radius:
                    inside += 1
                    break
        return inside / len(points)

    return covered(generated, real), covered(real, generated)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.floats(0, 3))
def test_precision_and_recall_by_loops(seed, k, shift):
    rng = np.random.default_rng(seed)
    real, generated = rng.normal(size=(20, 3)), 0.7 * rng.normal(size=(25, 3)) + shift
    assert precision_recall(real, generated, k) == precision_recall_by_loops(real, generated, k)


def test_precision_and_recall_in_many_runs(monkeypatch):
    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(50, 4)), rng.normal(size=(40, 4)) + 1
    whole = precision_recall(real, generated)
    monkeypatch.setattr(neighbors, "_ENTRIES", 130)
    monkeypatch.setattr(neighbors, "_PART", 7)
    assert precision_recall(real, generated) == whole
    assert whole == precision_recall_by_loops(real, generated, 3)


def test_what_precision_and_recall_tell_apart():
    real = np.random.default_rng(0).normal(size=(500, 2))
    center = real[np.linalg.norm(real, axis=1) < 0.5]
    narrow = precision_recall(real, center)
    assert narrow.precision == 1  # all of it is real
    assert narrow.recall < 0.5  # but little of the real is there
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("part", [5, 4096])
def test_nearest_neighbors_by_scipy(dtype, part, monkeypatch):
    monkeypatch.setattr(neighbors, "_PART", part)
    rng = np.random.default_rng(0)
    queries, references = (rng.integers(0, 255, (count, 12)).astype(dtype) for count in (30, 101))
    indices, distances = nearest_neighbors(queries, references, k=4)
    expected = cdist(queries.astype(np.float64), references.astype(np.float64))
    np.testing.assert_allclose(distances, np.sort(expected, axis=1)[:, :4])
    np.testing.assert_allclose(np.take_along_axis(expected, indices, axis=1), distances)


def test_equal_rows_are_at_no_distance():
    references = np.random.default_rng(0).normal(size=(40, 300)) + 1e4
    indices, distances = nearest_neighbors(references[[7, 3]], references, k=2)
    assert indices[:, 0].tolist() == [7, 3]
    assert distances[:, 0].tolist() == [0, 0]
    assert (distances[:, 1] > 1).all()


def test_ties_go_to_the_first():
    indices, _ = nearest_neighbors(np.zeros((1, 2)), np.ones((6, 2)), k=6)
    assert indices.tolist() == [[0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("queries", "references", "k"),
    [((2, 3), (5, 4), 1), ((2, 3), (5, 3), 6), ((2, 3), (5, 3), 0), ((3,), (5, 3), 1)],
)
def test_neighbors_that_cannot_be(queries, references, k):
    with pytest.raises(ValueError, match=r"neighbors|queries"):
        nearest_neighbors(np.zeros(queries), np.zeros(references), k)


def test_precision_needs_more_images_than_neighbors():
    with pytest.raises(ValueError, match="3 neighbors among 3"):
        precision_recall(np.zeros((3, 2)), np.zeros((9, 2)))
    with pytest.raises(ValueError, match="2 and of 3"):
        precision_recall(np.zeros((9, 2)), np.zeros((9, 3)))
