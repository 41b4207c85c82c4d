"""Tests of the distances between sets against textbook forms, SciPy and scikit-learn."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import polynomial_kernel

from dfm_flax.metrics.generation import (
    frechet_distance,
    frechet_distance_of_gaussians,
    inception_score,
    kernel_inception_distance,
)


def features(count, size, seed=0, shift=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) * scale + shift


def frechet_by_sqrtm(a, b):
    covariance_a, covariance_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(covariance_a @ covariance_b).real
    difference = a.mean(axis=0) - b.mean(axis=0)
    return difference @ difference + np.trace(covariance_a + covariance_b - 2 * root)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000), st.floats(-2, 2), st.floats(0.1, 3))
def test_frechet_distance_by_scipys_root(size, seed, shift, scale):
    a = features(60, size, seed)
    b = features(80, size, seed + 1, shift, scale)
    assert frechet_distance(a, b) == pytest.approx(frechet_by_sqrtm(a, b), rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_distance_of_gaussians_that_commute():
    """Diagonal covariances: the sum of (mean difference)^2 + (difference of deviations)^2."""
    rng = np.random.default_rng(0)
    mean_a, mean_b, std_a, std_b = rng.uniform(0.1, 3, (4, 7))
    expected = np.sum((mean_a - mean_b) ** 2 + (std_a - std_b) ** 2)
    turn = np.linalg.qr(rng.normal(size=(7, 7)))[0]  # a common rotation changes nothing

    def turned(std):
        return turn @ np.diag(std**2) @ turn.T

    value = frechet_distance_of_gaussians(
        turn @ mean_a, turned(std_a), turn @ mean_b, turned(std_b)
    )
    assert value == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_of_equal_sets_is_zero():
    a = features(50, 8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(a, a + 3) == pytest.approx(9 * 8)


def test_frechet_distance_with_fewer_images_than_features():
    """Rank-deficient covariances: the spans are orthogonal, so no variance is shared."""
    rng = np.random.default_rng(0)
    a, b = np.zeros((5, 40)), np.zeros((6, 40))
    a[:, :20] = rng.normal(size=(5, 20))
    b[:, 20:] = rng.normal(size=(6, 20))
    expected = (
        np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
        + a.var(axis=0, ddof=1).sum()
        + b.var(axis=0, ddof=1).sum()
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)


def test_frechet_distance_of_dead_features():
    """Constant columns, as dead units give, and a set of one image repeated."""
    a = features(30, 4)
    a[:, 2] = 7
    repeated = np.tile(a[:1], (10, 1))
    expected = np.sum((a.mean(axis=0) - a[0]) ** 2) + a.var(axis=0, ddof=1).sum()
    assert frechet_distance(a, repeated) == pytest.approx(expected)


def test_frechet_distance_survives_large_offsets():
    a, b = features(40, 6), features(40, 6, 1)
    assert frechet_distance(a + 1e5, b + 1e5) == pytest.approx(frechet_distance(a, b), rel=1e-6)


def test_float32_features_are_computed_in_float64():
    a = features(40, 6).astype(np.float32)
    b = (a + np.float32(1e-4)).astype(np.float32)
    assert frechet_distance(a, b) == pytest.approx(6e-8, rel=1e-2)


def mmd2_by_loops(a, b):
    """Equation 4 of Binkowski et al. 2018."""

    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    m, n = len(a), len(b)
    within_a = sum(kernel(a[i], a[j]) for i in range(m) for j in range(m) if i != j)
    within_b = sum(kernel(b[i], b[j]) for i in range(n) for j in range(n) if i != j)
    between = sum(kernel(x, y) for x in a for y in b)
    return within_a / (m * (m - 1)) + within_b / (n * (n - 1)) - 2 * between / (m * n)


def test_kernel_distance_by_loops():
    a, b = features(9, 5), features(9, 5, 1, shift=0.5)
    value = kernel_inception_distance(a, b, num_subsets=3, subset_size=9)
    assert value.mean == pytest.approx(mmd2_by_loops(a, b))
    assert value.std == pytest.approx(0, abs=1e-9)  # every subset is the whole


def test_kernel_distance_by_scikit_learns_kernel():
    a, b = features(50, 6), features(50, 6, 1)
    within = [polynomial_kernel(x, degree=3, coef0=1) for x in (a, b)]
    off_diagonal = sum((gram.sum() - np.trace(gram)) / (50 * 49) for gram in within)
    expected = off_diagonal - 2 * polynomial_kernel(a, b, degree=3, coef0=1).mean()
    assert kernel_inception_distance(a, b, num_subsets=1, subset_size=50).mean == pytest.approx(
        expected
    )


def test_kernel_distance_is_unbiased():
    """Two samples of one distribution: about 0, on both sides of it, at any subset size."""
    a = np.random.default_rng(0).normal(size=(4000, 4))
    b = np.random.default_rng(1).normal(size=(4000, 4))
    for size in (20, 200):
        value = kernel_inception_distance(a, b, num_subsets=200, subset_size=size)
        assert abs(value.mean) < 4 * value.std / math.sqrt(200)
    assert kernel_inception_distance(a, b + 1, num_subsets=20, subset_size=200).mean > 10 * abs(
        value.mean
    )


def test_kernel_distance_is_determined_by_the_seed():
    a, b = features(60, 3), features(60, 3, 1)
    first, again, other = (
        kernel_inception_distance(a, b, num_subsets=5, subset_size=20, seed=seed)
        for seed in (3, 3, 4)
    )
    assert first == again != other


def test_score_by_divergences():
    """Equation 1 of Salimans et al. 2016, by SciPy's relative entropy."""
    p = np.random.default_rng(0).dirichlet(np.full(5, 0.3), 30)
    scores = [
        np.exp(np.mean([scipy.stats.entropy(row, part.mean(axis=0)) for row in part]))
        for part in np.split(p, 3)
    ]
    assert inception_score(p, splits=3) == pytest.approx((np.mean(scores), np.std(scores)))


def test_score_at_its_ends():
    certain = np.eye(10)[np.arange(100) % 10]
    assert inception_score(certain, splits=10) == pytest.approx((10, 0))
    assert inception_score(np.full((20, 10), 0.1), splits=2) == pytest.approx((1, 0))
    collapsed = np.tile(np.eye(10)[3], (20, 1))
    assert inception_score(collapsed, splits=2) == pytest.approx((1, 0))


@pytest.mark.parametrize("distance", [frechet_distance, kernel_inception_distance])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((5, 3)), np.zeros((5, 4)), "3 and of 4"),
        (np.zeros((1, 3)), np.zeros((5, 3)), "at least 2"),
        (np.zeros(5), np.zeros(5), "expected features"),
        (np.full((5, 3), np.nan), np.zeros((5, 3)), "not finite"),
    ],
)
def test_features_that_do_not_fit(distance, a, b, message):
    with pytest.raises(ValueError, match=message):
        distance(a, b)


def test_subsets_and_splits_out_of_range():
    a = features(10, 3)
    with pytest.raises(ValueError, match="100 subsets of 11 from 10 and 10"):
        kernel_inception_distance(a, a, subset_size=11)
    with pytest.raises(ValueError, match="splits"):
        inception_score(np.full((5, 2), 0.5), splits=6)
    with pytest.raises(ValueError, match="not probabilities"):
        inception_score(np.full((5, 2), 0.7), splits=1)
