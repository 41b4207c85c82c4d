import jax
import numpy as np
import pytest

from dfm_flax.baselines.siren import siren_num_weights
from dfm_flax.benchmarks import textbook
from dfm_flax.benchmarks.contenders import COIN_DEPTH, coin_width, gradient
from dfm_flax.fourier import FourierMachine


@pytest.fixture
def example():
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    x = jax.random.uniform(keys[0], (50, 2))
    target = jax.random.uniform(keys[1], (50, 3), minval=-1.0)
    machine = FourierMachine(4, 5, variances=1e-3)
    return machine, x, target, machine.init(keys[2], x)["params"]


def test_the_textbook_machine_is_the_same_function(example):
    machine, x, target, params = example
    plain = textbook.TextbookMachine(4, 5)
    np.testing.assert_allclose(
        np.asarray(plain.apply({"params": params}, x)),
        np.asarray(machine.apply({"params": params}, x)),
        atol=1e-5,
    )
    (value, gradients), (plain_value, plain_gradients) = (
        gradient(model, params, x, target)[0]() for model in (machine, plain)
    )
    assert float(value) == pytest.approx(float(plain_value), rel=1e-5)
    for a, b in zip(jax.tree.leaves(gradients), jax.tree.leaves(plain_gradients), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-5)


def test_the_pytorch_machine_is_the_same_function(example):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[bench]'")
    machine, x, target, params = example
    function, weights = textbook.torch_machine(params)
    tensors = torch.tensor(np.asarray(x)), torch.tensor(np.asarray(target))
    textbook.torch_gradient(function, weights, *tensors)()
    _, gradients = gradient(machine, params, x, target)[0]()
    for i, weight in enumerate(weights):
        expected = gradients[f"layer_{i}"]["coefficients"]
        np.testing.assert_allclose(weight.grad.numpy(), expected, atol=1e-5)


def test_coin_has_as_many_weights_as_fit():
    width = coin_width(21_600)
    assert siren_num_weights(COIN_DEPTH, width) <= 21_600 < siren_num_weights(COIN_DEPTH, width + 1)
