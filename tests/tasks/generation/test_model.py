import jax
import pytest
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.tasks.generation.model import ImageShape, initial_params, make_generator

SHAPE = ImageShape(4, 5, 1)


def settings(**changes):
    config = ConfigDict(
        {
            "name": "dfm",
            "latent_size": 3,
            "latents": "encoder",
            "encoder_hidden": (8,),
            "hidden": (8,),
            "activation": "relu",
            "initialization": "sane",
            "variance": 0.1,
            "likelihood": "gaussian",
            "machine": {"depth": 2, "width": 3},
        }
    )
    config.update(changes)
    return config


def last_layer(params, part):
    return params[part]["mlp"]["layer_1"]["kernel"].shape


def test_each_model_has_the_weights_that_it_needs():
    for name, outputs, encoded in (("dfm", 7 * 3 + 15, 3), ("autoencoder", 20, 3), ("vae", 20, 6)):
        params = initial_params(
            make_generator(settings(name=name), SHAPE), jax.random.PRNGKey(0), 3, SHAPE
        )
        assert last_layer(params, "decoder") == (8, outputs)
        assert last_layer(params, "encoder") == (8, encoded)
        assert ("log_variance" in params) == (name == "vae")
    model = make_generator(settings(latents="table"), SHAPE)
    assert set(initial_params(model, jax.random.PRNGKey(0), 3, SHAPE)) == {"decoder"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "gan"}, "model.name='gan' is not one of dfm, autoencoder, vae"),
        ({"latents": "tabel"}, "not one of table, encoder"),
        ({"activation": "elu"}, "not one of relu"),
        ({"initialization": "sound"}, "not one of plain, sane"),
        ({"latent_size": 0}, "at least 1"),
        ({"name": "vae", "latents": "table"}, "a VAE has an encoder"),
        ({"name": "vae", "likelihood": "laplace"}, "not one of bernoulli, gaussian"),
        ({"name": "autoencoder", "initialization": "plain"}, "not for 'autoencoder'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        make_generator(settings(**changes), SHAPE)
