"""Distances between two sets of images, and a score of one, from what a network says of them.

All of it is computed in float64 from features [N, D], one row an image, of whatever network the
caller took. The names that papers use hold only for one network: a Frechet distance is an FID,
and a kernel distance a KID, if the features are those of the Inception network of 2015.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from numpy.typing import ArrayLike
from scipy.special import entr

MIN_IMAGES = 2  # a covariance, and a mean over pairs, need as many


class MeanAndStd(NamedTuple):
    """A metric as its mean and standard deviation over subsets or splits."""

    mean: float
    std: float


def frechet_distance(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Squared Frechet distance of Gaussians fitted to two sets of features (Heusel et al. 2017).

    |mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), with covariances over N - 1.
    The estimate is biased upwards where there are few images: compare only numbers of equal N.

    Args:
      features_a: [N, D].
      features_b: [M, D]; both may have fewer rows than columns.

    Raises:
      ValueError: the shapes do not fit, there are fewer than two rows, or not all is finite.
    """
    a, b = check_features(features_a), check_features(features_b)
    _check_pair(a, b)
    return frechet_distance_of_gaussians(
        a.mean(axis=0), _covariance(a), b.mean(axis=0), _covariance(b)
    )


def frechet_distance_of_gaussians(
    mean_a: Float[np.ndarray, "features"],
    covariance_a: Float[np.ndarray, "features features"],
    mean_b: Float[np.ndarray, "features"],
    covariance_b: Float[np.ndarray, "features features"],
) -> float:
    """Squared Frechet distance of two Gaussians.

    The trace of (A B)^(1/2) is the sum of the singular values of A^(1/2) B^(1/2), whose factors
    are symmetric and real: no complex root that has to be cut, and singular matrices are as good
    as others.
    """
    roots = _symmetric_root(covariance_a) @ _symmetric_root(covariance_b)
    trace = np.linalg.svd(roots, compute_uv=False).sum()
    between_means = np.sum((mean_a - mean_b) ** 2)
    distance = between_means + np.trace(covariance_a) + np.trace(covariance_b) - 2 * trace
    return max(0.0, float(distance))  # rounding can leave equal Gaussians just below 0


def kernel_inception_distance(
    features_a: ArrayLike,
    features_b: ArrayLike,
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> MeanAndStd:
    """Squared maximum mean discrepancy under a cubic kernel (Binkowski et al. 2018, section 4).

    The kernel is (x.y / D + 1)^3. Unlike the Frechet distance its estimate is unbiased, so it may
    be negative, and its mean does not depend on the number of images.

    Args:
      features_a: [N, D].
      features_b: [M, D].
      num_subsets: subsets drawn, each without replacement; mean and standard deviation are
        over them.
      subset_size: rows of each set in a subset, from 2 to the smaller of N and M.
      seed: of the draw.

    Raises:
      ValueError: the shapes do not fit, a subset is larger than a set, or not all is finite.
    """
    a, b = check_features(features_a), check_features(features_b)
    _check_pair(a, b)
    if not MIN_IMAGES <= subset_size <= min(len(a), len(b)) or num_subsets < 1:
        raise ValueError(f"{num_subsets} subsets of {subset_size} from {len(a)} and {len(b)} rows")
    rng = np.random.default_rng(seed)
    draws = [
        _unbiased_mmd2(
            a[rng.choice(len(a), subset_size, replace=False)],
            b[rng.choice(len(b), subset_size, replace=False)],
        )
        for _ in range(num_subsets)
    ]
    return MeanAndStd(float(np.mean(draws)), float(np.std(draws)))


def inception_score(probabilities: ArrayLike, splits: int = 10) -> MeanAndStd:
    """exp of the mean divergence of p(class | image) from p(class) (Salimans et al. 2016).

    It is 1 if all images get the same answer, and at most the number of classes.

    Args:
      probabilities: [N, classes], each row sums to 1.
      splits: equal parts, in order, over which mean and standard deviation are taken.

    Raises:
      ValueError: rows are no probabilities, or there are fewer of them than splits.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not 1 <= splits <= len(p):
        raise ValueError(f"{splits} splits of probabilities of shape {p.shape}")
    if not (p.min() >= 0 and np.allclose(p.sum(axis=1), 1, atol=1e-3)):
        raise ValueError("the rows are not probabilities")
    # Mutual information of image and class: entropy of the mean minus mean of the entropies.
    scores = [
        np.exp(entr(part.mean(axis=0)).sum() - entr(part).sum(axis=1).mean())
        for part in np.array_split(p, splits)
    ]
    return MeanAndStd(float(np.mean(scores)), float(np.std(scores)))


def check_features(features: ArrayLike) -> Float64[np.ndarray, "images features"]:
    """Features as float64 [N, D] with at least two rows, or ValueError."""
    array = np.asarray(features, np.float64)
    if array.ndim != 2 or len(array) < MIN_IMAGES or array.shape[1] < 1:
        raise ValueError(
            f"expected features [N, D] of at least {MIN_IMAGES} images, got {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError("features are not finite")
    return array


def _check_pair(
    a: Float64[np.ndarray, "images features"], b: Float64[np.ndarray, "others other_features"]
) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of {a.shape[1]} and of {b.shape[1]} numbers")


def _covariance(
    features: Float64[np.ndarray, "images features"],
) -> Float64[np.ndarray, "features features"]:
    centered = features - features.mean(axis=0)
    return centered.T @ centered / (len(features) - 1)


def _symmetric_root(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    values, vectors = np.linalg.eigh(matrix)
    # Rounding makes zeros of a singular covariance slightly negative.
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def _unbiased_mmd2(
    a: Float64[np.ndarray, "images features"], b: Float64[np.ndarray, "images features"]
) -> float:
    return _mean_of_pairs(a) + _mean_of_pairs(b) - 2 * float(_kernel(a, b).mean())


def _mean_of_pairs(x: Float64[np.ndarray, "images features"]) -> float:
    """Of the kernel, over all pairs of two different images."""
    gram = _kernel(x, x)
    return float(gram.sum() - np.trace(gram)) / (len(x) * (len(x) - 1))


def _kernel(
    x: Float64[np.ndarray, "images features"], y: Float64[np.ndarray, "others features"]
) -> Float64[np.ndarray, "images others"]:
    base = x @ y.T / x.shape[1] + 1
    return base * base * base  # several times faster than a power
