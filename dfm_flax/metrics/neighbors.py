"""Nearest neighbors among features, and precision and recall, which are made of them.

Distances are Euclidean, computed in float64, a few thousand rows at a time: memory does not grow
with the square of the number of images.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int, Real
from numpy.typing import ArrayLike

from dfm_flax.metrics.generation import check_features

_ENTRIES = 2**23  # distances held at once: 64 MiB
_PART = 2**12  # references looked at at once


class PrecisionRecall(NamedTuple):
    """Fractions in [0, 1]: how much of the generated is real, how much of the real is generated."""

    precision: float
    recall: float


def precision_recall(real: ArrayLike, generated: ArrayLike, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019, section 2).

    A set's manifold is the union of balls around its features, each as wide as the distance to
    the k-th nearest other one. Precision is the fraction of generated features in the manifold
    of the real, recall that of real features in the manifold of the generated. Both depend on
    the numbers of images: compare only numbers of equal sets.

    Args:
      real: [N, D].
      generated: [M, D].
      k: less than N and M; 3 in the paper.

    Raises:
      ValueError: the shapes do not fit, there are not more than k rows, or not all is finite.
    """
    real, generated = _centered(real, generated)
    real_reach, generated_reach = _radii(real, k) ** 2, _radii(generated, k) ** 2
    precise = np.zeros(len(generated), bool)
    recalled = np.zeros(len(real), bool)
    for rows in _runs(len(generated), max(1, _ENTRIES // len(real))):
        squares = _squared_distances(generated[rows], real)
        precise[rows] = (squares <= real_reach).any(axis=1)
        recalled |= (squares <= generated_reach[rows, np.newaxis]).any(axis=0)
    return PrecisionRecall(float(precise.mean()), float(recalled.mean()))


def nearest_neighbors(
    queries: ArrayLike, references: ArrayLike, k: int = 1
) -> tuple[Int[np.ndarray, "queries k"], Float64[np.ndarray, "queries k"]]:
    """The k nearest references of each query, nearest first: indices and distances.

    A query that is itself among the references is its own nearest neighbor.

    Args:
      queries: [Q, D].
      references: [N, D].
      k: at most N.

    Raises:
      ValueError: the shapes do not fit, or k is out of range.
    """
    queries, references = np.asarray(queries), np.asarray(references)
    if queries.ndim != 2 or queries.shape[1:] != references.shape[1:]:
        raise ValueError(f"queries {queries.shape} and references {references.shape}")
    if not 1 <= k <= len(references):
        raise ValueError(f"{k} neighbors of {len(references)}")
    indices = np.empty((len(queries), k), np.intp)
    distances = np.empty((len(queries), k))
    for rows in _runs(len(queries), _ENTRIES // _PART):
        part = queries[rows].astype(np.float64)
        candidates = _candidates(part, references, k)
        # Differences, not products, for those found: exactly 0 for equal images.
        squares = np.sum((references[candidates] - part[:, np.newaxis]) ** 2, axis=-1)
        order = np.lexsort((candidates, squares))
        indices[rows] = np.take_along_axis(candidates, order, axis=1)
        distances[rows] = np.sqrt(np.take_along_axis(squares, order, axis=1))
    return indices, distances


def _candidates(
    queries: Float64[np.ndarray, "queries features"],
    references: Real[np.ndarray, "references features"],
    k: int,
) -> Int[np.ndarray, "queries {k}"]:
    """Indices of the nearest references in no order, looked at a part at a time."""
    indices = np.empty((len(queries), 0), np.intp)
    squares = np.empty((len(queries), 0))
    for run in _runs(len(references), _PART):
        part = references[run].astype(np.float64)
        here = np.broadcast_to(np.arange(run.start, run.stop), (len(queries), len(part)))
        indices = np.concatenate([indices, here], axis=1)
        squares = np.concatenate([squares, _squared_distances(queries, part)], axis=1)
        if squares.shape[1] > k:
            kept = np.argpartition(squares, k - 1, axis=1)[:, :k]
            indices = np.take_along_axis(indices, kept, axis=1)
            squares = np.take_along_axis(squares, kept, axis=1)
    return indices


def _centered(
    a: ArrayLike, b: ArrayLike
) -> tuple[Float64[np.ndarray, "images features"], Float64[np.ndarray, "others features"]]:
    """Both sets around the mean of the first: products of large numbers cancel badly."""
    a, b = check_features(a), check_features(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"features of {a.shape[1]} and of {b.shape[1]} numbers")
    mean = a.mean(axis=0)
    return a - mean, b - mean


def _radii(
    features: Float64[np.ndarray, "images features"], k: int
) -> Float64[np.ndarray, "images"]:
    """Distance of each row to its k-th nearest other row."""
    if not 1 <= k < len(features):
        raise ValueError(f"{k} neighbors among {len(features)} images")
    return nearest_neighbors(features, features, k + 1)[1][:, k]  # each is its own nearest


def _squared_distances(
    a: Float64[np.ndarray, "images features"], b: Float64[np.ndarray, "others features"]
) -> Float64[np.ndarray, "images others"]:
    squares = -2 * (a @ b.T)
    squares += np.sum(a * a, axis=1, keepdims=True)
    squares += np.sum(b * b, axis=1)
    return squares


def _runs(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
