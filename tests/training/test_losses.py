import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.training.losses import make_loss

USERS = """
import jax.numpy as jnp

def absolute(model, config):
    def loss(params, batch, rng):
        error = jnp.mean(jnp.abs(params["w"] - batch))
        return config.weight * error, {"mse": error}
    return loss

def size(model, params, batch, rng):
    return 0.1 * jnp.sum(params["w"] ** 2)

def offset(model, params, batch, rng):
    return jnp.asarray(3.0) + model.amount
"""


class Five(nn.Module):
    amount: float = 5.0


def squares(model, config):
    def loss(params, batch, rng):
        error = jnp.mean((params["w"] - batch) ** 2)
        return error, {"mse": error}

    return loss


PARAMS, BATCH = {"w": jnp.array([1.0, 2.0])}, jnp.array([0.0, 4.0])


def evaluate(name, terms=()):
    config = ConfigDict({"loss": {"name": name, "terms": terms}, "weight": 2.0})
    loss = make_loss({"mse": squares}, Five(), config)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))(PARAMS, BATCH, jax.random.PRNGKey(0))


@pytest.fixture
def users(tmp_path, monkeypatch):
    (tmp_path / "losses_of_a_user.py").write_text(USERS)
    monkeypatch.syspath_prepend(tmp_path)


def test_ours_by_name():
    (value, metrics), gradients = evaluate("mse")
    assert value == pytest.approx((1 + 4) / 2)
    assert list(metrics) == ["mse"]
    assert gradients["w"].tolist() == [1.0, -2.0]


def test_a_users_by_import_path(users):
    (value, _), gradients = evaluate("losses_of_a_user:absolute")
    assert value == pytest.approx(2 * (1 + 2) / 2)
    assert gradients["w"].tolist() == [1.0, -1.0]


def test_terms_are_added_and_told(users):
    terms = ("losses_of_a_user:size", "losses_of_a_user:offset")
    (value, metrics), gradients = evaluate("mse", terms)
    assert value == pytest.approx(2.5 + 0.5 + 8)
    assert {name: float(metric) for name, metric in metrics.items()} == pytest.approx(
        {"mse": 2.5, "size": 0.5, "offset": 8.0}
    )
    assert gradients["w"].tolist() == pytest.approx([1 + 0.2, -2 + 0.4])


@pytest.mark.parametrize(
    ("name", "terms", "message"),
    [
        ("msee", (), "loss 'msee' is not one of mse.*did you mean 'mse'"),
        ("mse", ("size",), "loss term 'size' is not an import path like my_module:name"),
        ("mse", ("nowhere:size",), "loss term 'nowhere:size' cannot be imported"),
    ],
)
def test_what_there_is_not(name, terms, message):
    with pytest.raises(UsageError, match=message):
        evaluate(name, terms)
