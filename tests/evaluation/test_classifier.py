"""Tests of the classifier's shapes and of what its features promise."""

import jax
import numpy as np
import pytest

from dfm_flax.evaluation.classifier import Classifier


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (32, 48, 3), (4, 9, 1)])
def test_features_and_logits(shape):
    images = np.random.default_rng(0).integers(0, 256, (5, *shape), np.uint8)
    model = Classifier(num_classes=7, width=4, num_features=16)
    init = jax.jit(model.init_with_output)  # much faster than operation by operation
    (features, logits), variables = init(jax.random.PRNGKey(0), images)
    assert features.shape == (5, 16)
    assert logits.shape == (5, 7)
    last = variables["params"]["Dense_1"]
    np.testing.assert_allclose(logits, features @ last["kernel"] + last["bias"], atol=1e-5)


def test_an_image_does_not_depend_on_its_batch():
    images = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), np.uint8)
    model = Classifier(num_classes=3, width=4, num_features=8)
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), images)
    together = jax.jit(model.apply)(variables, images)
    alone = jax.jit(model.apply)(variables, images[4:5])
    np.testing.assert_allclose(together[0][4], alone[0][0], atol=1e-5)
