import jax
import numpy as np
import pytest

from dfm_flax.config import load_config, override
from dfm_flax.errors import UsageError
from dfm_flax.generation.generator import (
    GENERATORS,
    Generator,
    ImageShape,
    initial_params,
    make_generator,
)

SHAPE = ImageShape(4, 5, 1)


def config(variant, *changes):
    made = load_config(f"digits:{variant}")
    latents = f"model.latent_size={16 if variant == 'grids' else 3}"
    override(made, [latents, "model.hidden=8", "model.encoder_hidden=8", *changes])
    return made


def last_layer(params, part):
    return params[part]["mlp"]["layer_1"]["kernel"].shape


def initial(variant, *changes):
    made = config(variant, *changes)
    return compiled(make_generator(made, SHAPE), made.model.latent_size, SHAPE)


def compiled(model, latent_size, shape):
    """The parameters as a run starts with them, which are compiled there too."""
    return jax.jit(lambda rng: initial_params(model, rng, latent_size, shape))(
        jax.random.PRNGKey(0)
    )


def test_each_generator_has_the_weights_that_it_needs():
    machine = (
        "model.machine.depth=2",
        "model.machine.width=3",
        "model.machine.basis=full,full,full",
    )
    params = initial("dfm", *machine)
    assert last_layer(params, "decoder") == (8, 31 * 3 + 15)
    assert last_layer(params, "encoder") == (8, 3)
    params = initial("autoencoder")
    assert last_layer(params, "decoder") == (8, 20)
    assert last_layer(params, "encoder") == (8, 3)
    for likelihood in ("bernoulli", "gaussian"):
        params = initial("vae", f"loss.likelihood={likelihood}")
        assert last_layer(params, "encoder") == (8, 6)
        assert ("log_variance" in params) == (likelihood == "gaussian")
    assert set(initial("table")) == {"decoder"}
    params = initial("grids", "model.cells=2", "model.latent_size=12")
    assert params["encoder"]["outputs"]["kernel"].shape == (32, 3)
    assert params["decoder"]["outputs"]["kernel"].shape == (32, 16)
    assert params["decoder"]["machine"]["layer_0"]["coefficients"].shape == (2 * 18 + 1, 32)


def test_what_a_file_of_a_generator_gives():
    assert GENERATORS.names() == ["autoencoder", "dfm", "grids", "vae"]
    for name in GENERATORS.names():
        kind = GENERATORS.get(name)
        assert issubclass(kind, Generator)
        assert kind.settings().to_dict()
        assert kind.native_prior == ("standard_normal" if name == "vae" else "gaussian")


def test_the_gaussian_start_is_that_of_the_thesis():
    """All kernels, the encoder's too, have the config's variance, and all biases are 0."""
    changes = ("model.init=gaussian", "model.variance=0.04", "model.hidden=100,100")
    params = initial("dfm", *changes, "model.encoder_hidden=100,100")
    for part in ("encoder", "decoder"):
        kernels = [layer["kernel"] for layer in params[part]["mlp"].values()]
        assert np.std(np.concatenate([k.ravel() for k in kernels])) == pytest.approx(0.2, rel=0.05)
        assert not any(layer["bias"].any() for layer in params[part]["mlp"].values())


@pytest.mark.parametrize(
    ("name", "variance", "shape"),
    [
        ("mnist", 4e-4, ImageShape(28, 28, 1)),
        ("mnist:variance", 2e-2, ImageShape(28, 28, 1)),
        ("cifar10:variance", 3e-2, ImageShape(32, 32, 3)),
    ],
)
def test_all_networks_of_the_thesiss_configs_have_its_variance(name, variance, shape):
    """ "Gaussian weights of variance 3e-2, biases at 0": layer by layer."""
    made = load_config(name)
    params = compiled(make_generator(made, shape), made.model.latent_size, shape)
    assert set(params) == ({"decoder", "encoder"} if name == "cifar10:variance" else {"decoder"})
    for part in params.values():
        for layer in part["mlp"].values():
            assert np.var(layer["kernel"]) == pytest.approx(variance, rel=0.05)
            assert not layer["bias"].any()


@pytest.mark.parametrize(
    ("variant", "change", "message"),
    [
        ("dfm", "model.name=gan", "model.name 'gan' is not one of autoencoder, dfm, grids, vae"),
        ("dfm", "model.latents=tabel", "not one of table, encoder"),
        ("dfm", "model.activation=elu", "not one of relu"),
        ("dfm", "model.init=sound", "not one of gaussian, centered"),
        ("dfm", "model.latent_size=0", "at least 1"),
        ("dfm", "model.hidden=16,0", r"model.hidden=\(16, 0\): each layer has 1 unit or more"),
        ("dfm", "model.variance=-1.0", "model.variance=-1.0: 0 or more"),
        ("table", "model.table_variance=-1.0", "table_variance=-1.0: 0 or more"),
        ("dfm", "model.machine.depth=1", "a machine has at least 2 layers"),
        ("dfm", "loss.num_pixels=21", "an image has 20"),
        ("dfm", "loss.jitter=-1", "jitter"),
        ("dfm", "loss.latent_noise=-1", "loss.latent_noise=-1.0: 0 or more"),
        ("dfm", "loss.cramer_wold=-1", "loss.cramer_wold=-1.0: 0 or more"),
        ("dfm", "loss.cramer_wold=1 model.latent_size=1", "latents of 2 numbers or more"),
        ("autoencoder", "loss.latent_penalty=-1", "loss.latent_penalty=-1.0: 0 or more"),
        ("grids", "model.cells=5", "images of 5x4 pixels have no so small cells"),
        ("grids", "model.latent_size=24", "a multiple of 16"),
        ("grids", "model.series=0", "model.series=0: at least 1"),
        ("grids", "model.blocks=-1", "model.blocks=-1: 0 or more"),
        ("grids", "model.latents=table", "a grid of latents has an encoder"),
        ("grids", "model.machine.depth=1", "a machine has at least 2 layers"),
        ("grids", "loss.num_pixels=21", "an image has 20"),
        ("grids", "loss.latent_noise=-1", "loss.latent_noise=-1.0: 0 or more"),
        ("vae", "loss.likelihood=laplace", "not one of bernoulli, gaussian"),
        ("vae", "model.latents=table", "a VAE has an encoder"),
    ],
)
def test_settings_that_make_no_sense_are_refused(variant, change, message):
    with pytest.raises(UsageError, match=message):
        make_generator(config(variant, *change.split()), SHAPE)
