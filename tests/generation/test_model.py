import jax
import pytest

from dfm_flax.config import load_config, override
from dfm_flax.errors import UsageError
from dfm_flax.generation.model import ImageShape, initial_params, make_generator

SHAPE = ImageShape(4, 5, 1)


def settings(variant, *changes):
    config = load_config(f"configs/digits.py:{variant}")
    override(config, ["model.latent_size=3", "model.hidden=8", *changes])
    return config.model


def last_layer(params, part):
    return params[part]["mlp"]["layer_1"]["kernel"].shape


def initial(model):
    return initial_params(model, jax.random.PRNGKey(0), 3, SHAPE)


def test_each_model_has_the_weights_that_it_needs():
    machine = ("model.machine.depth=2", "model.machine.width=3", "model.machine.additive=False")
    sizes = ("model.encoder_hidden=8",)
    for variant, outputs, encoded in (("dfm", 31 * 3 + 15, 3), ("autoencoder", 20, 3)):
        changes = (*sizes, *(machine if variant == "dfm" else ()))
        params = initial(make_generator(settings(variant, *changes), SHAPE))
        assert last_layer(params, "decoder") == (8, outputs)
        assert last_layer(params, "encoder") == (8, encoded)
    for likelihood in ("bernoulli", "gaussian"):
        params = initial(make_generator(settings("vae", *sizes), SHAPE, likelihood))
        assert last_layer(params, "encoder") == (8, 6)
        assert ("log_variance" in params) == (likelihood == "gaussian")
    assert set(initial(make_generator(settings("table"), SHAPE))) == {"decoder"}


def test_machines_that_make_no_sense_are_refused():
    with pytest.raises(UsageError, match="a machine has at least 2 layers"):
        make_generator(settings("dfm", "model.machine.depth=1"), SHAPE)
