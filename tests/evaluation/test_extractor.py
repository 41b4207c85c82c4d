"""Tests of looking at images in batches."""

import numpy as np
import pytest

from dfm_flax.evaluation.extractor import FeatureExtractor, Features


@pytest.mark.parametrize("count", [1, 4, 5, 8])
def test_looks_in_batches(count):
    sizes = []

    def look(images):
        sizes.append(len(images))
        mean = images.mean(axis=(1, 2, 3))
        return np.stack([mean, mean**2], axis=1), np.stack([mean / 255, 1 - mean / 255], axis=1)

    images = np.random.default_rng(0).integers(0, 256, (count, 3, 4, 1), np.uint8)
    features = FeatureExtractor("means", {}, 4, look)(images)
    assert sum(sizes) == count
    assert max(sizes) <= 4
    mean = images.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(features.activations, np.stack([mean, mean**2], 1), rtol=1e-6)
    np.testing.assert_allclose(features.probabilities.sum(axis=1), 1, rtol=1e-6)
    assert features.activations.dtype == np.float32


def test_features_of_some():
    features = Features(np.arange(6, dtype=np.float32).reshape(3, 2), np.eye(3, dtype=np.float32))
    some = features[np.array([2, 0])]
    np.testing.assert_array_equal(some.activations, [[4, 5], [0, 1]])
    np.testing.assert_array_equal(some.probabilities, [[0, 0, 1], [1, 0, 0]])
