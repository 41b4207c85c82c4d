"""Tests of the metrics under one name."""

import numpy as np
import pytest

from dfm_flax.evaluation.extractor import Features
from dfm_flax.evaluation.set_metrics import compare, disjoint_halves
from dfm_flax.metrics.generation import (
    frechet_distance,
    inception_score,
    kernel_inception_distance,
)
from dfm_flax.metrics.neighbors import precision_recall


def some(count, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    activations = rng.normal(shift, 1, (count, 5)).astype(np.float32)
    return Features(activations, rng.dirichlet(np.ones(4), count).astype(np.float32))


def test_metrics_are_named_after_the_extractor():
    real, generated = some(60, 0), some(60, 1, 0.5)
    a, b = real.activations, generated.activations
    kernel = kernel_inception_distance(a, b, subset_size=30, seed=7)
    precision, recall = precision_recall(a, b)
    score = inception_score(generated.probabilities)
    assert compare(real, generated, "eye", seed=7) == {
        "frechet_eye": frechet_distance(a, b),
        "kernel_eye": kernel.mean,
        "kernel_eye_std": kernel.std,
        "precision_eye": precision,
        "recall_eye": recall,
        "score_eye": score.mean,
        "score_eye_std": score.std,
    }
    assert precision != recall  # or the order above could be wrong unnoticed


@pytest.mark.parametrize(("count", "num", "size"), [(100, 30, 30), (100, 51, 50), (41, 99, 20)])
def test_halves_are_disjoint(count, num, size):
    first, second = disjoint_halves(count, num, seed=1)
    assert len(first) == len(second) == size
    together = set(first) | set(second)
    assert len(together) == 2 * size
    assert together <= set(range(count))
    np.testing.assert_array_equal(first, disjoint_halves(count, num, seed=1)[0])
    assert not np.array_equal(first, disjoint_halves(count, num, seed=2)[0])
