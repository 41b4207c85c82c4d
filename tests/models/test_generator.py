import jax
import numpy as np
import pytest
from dfm_flax.models.generator import ImageGenerator

from dfm_flax.models.decoders import PixelDecoder
from dfm_flax.models.mlp import Encoder

IMAGES = jax.random.normal(jax.random.PRNGKey(0), (5, 3, 4, 1))
DECODER = PixelDecoder(3, 4, 1, (8,))


def test_the_encoder_of_a_variational_model_gives_means_and_log_variances():
    model = ImageGenerator(DECODER, Encoder((8,), 2 * 3), variational=True)
    variables = model.init(jax.random.PRNGKey(1), IMAGES, method="encode")
    mean, log_variance = model.apply(variables, IMAGES, method="posterior")
    whole = Encoder((8,), 6).apply({"params": variables["params"]["encoder"]}, IMAGES)
    np.testing.assert_array_equal(np.concatenate([mean, log_variance], axis=1), whole)
    np.testing.assert_array_equal(model.apply(variables, IMAGES, method="encode"), mean)


def test_a_model_with_a_table_encodes_nothing():
    with pytest.raises(ValueError, match="no encoder"):
        ImageGenerator(DECODER).init(jax.random.PRNGKey(1), IMAGES, method="encode")
