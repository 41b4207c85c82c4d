import jax
import numpy as np
import pytest

from dfm_flax.models.mlp import Encoder, Mlp


def test_dense_layers_with_the_activation_between_them():
    mlp = Mlp((5, 4), 3, "tanh", variance=0.5)
    x = jax.random.normal(jax.random.PRNGKey(0), (6, 2))
    params = mlp.init(jax.random.PRNGKey(1), x)["params"]
    kernels = [np.asarray(params[f"layer_{i}"]["kernel"], float) for i in range(3)]
    expected = np.tanh(np.tanh(np.asarray(x, float) @ kernels[0]) @ kernels[1]) @ kernels[2]
    np.testing.assert_allclose(mlp.apply({"params": params}, x), expected, rtol=1e-5)
    assert all(not layer["bias"].any() for layer in params.values())


def test_kernels_have_the_variance_asked_for():
    params = Mlp((200,), 300, variance=2e-2).init(jax.random.PRNGKey(0), np.zeros((1, 100)))
    for layer in params["params"].values():
        assert layer["kernel"].var() == pytest.approx(2e-2, rel=0.05)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_without_a_variance_features_keep_their_scale(activation):
    mlp = Mlp((400, 400, 400), 400, activation)
    x = 0.5 * jax.random.normal(jax.random.PRNGKey(0), (500, 400))
    y = mlp.apply(mlp.init(jax.random.PRNGKey(1), x), x)
    assert 0.3 < y.std() / x.std() < 1.5


def test_an_encoder_reads_all_pixels():
    encoder = Encoder((8,), 3)
    images = jax.random.normal(jax.random.PRNGKey(0), (2, 4, 5, 3))
    params = encoder.init(jax.random.PRNGKey(1), images)
    reached = jax.grad(lambda x: encoder.apply(params, x).sum())(images)
    assert encoder.apply(params, images).shape == (2, 3)
    assert (reached != 0).all()
