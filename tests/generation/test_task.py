import pytest

from dfm_flax.config import load_config, override
from dfm_flax.errors import UsageError
from dfm_flax.tasks import task_of


@pytest.mark.parametrize(
    ("variant", "change", "message"),
    [
        ("dfm", "model.name=gan", "'gan' is not one of autoencoder, dfm, grids, vae"),
        ("dfm", "model.latents=tabel", "not one of"),
        ("dfm", "model.activation=elu", "not one of relu"),
        ("dfm", "model.init=sound", "not one of gaussian, centered"),
        ("dfm", "model.init=sane", "model.init='sane' is now 'centered'"),
        ("dfm", "model.name=vae", "a config of 'dfm' lacks .* as in --config digits:vae"),
        ("vae", "model.name=dfm", "a config of 'vae' lacks .* as in --config digits:dfm"),
        ("autoencoder", "model.name=vae", "a config of 'autoencoder' lacks"),
        ("dfm", "model.hidden=16,0", "each layer has 1 unit or more"),
        ("dfm", "model.latent_size=0", "latent_size=0"),
        ("dfm", "model.variance=-1", "0 or more"),
        ("table", "model.table_variance=-1", "0 or more"),
        ("dfm", "optimizer.ema_decay=1", "0 to below 1"),
        ("dfm", "optimizer.learning_rate=0", "learning"),
        ("dfm", "seed=-1", "seed=-1"),
        ("dfm", "loss.latent_penalty=-1", "loss.latent_penalty=-1.0: 0 or more"),
        ("vae", "loss.likelihood=laplace", "not one of bernoulli, gaussian"),
        ("vae", "model.latents=table", "a VAE has an encoder"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(variant, change, message):
    config = load_config(f"digits:{variant}")
    override(config, [change])
    with pytest.raises(UsageError, match=message):
        task_of(config).check(config)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model.initialization=plain", "model.init"),
        ("model.machine.additive=True", "model.machine.basis"),
        ("training.pixels=9", "loss.num_pixels"),
        ("training.jitter=1", "loss.jitter"),
        ("training.images_every=9", "observe_every"),
    ],
)
def test_old_names_are_answered_with_the_new(old, new):
    key = old.partition("=")[0]
    with pytest.raises(UsageError, match=f"--config.{key}: is now --config.{new}$"):
        override(load_config("digits"), [old])


def test_the_schema_is_that_of_the_generator():
    config = load_config("digits")
    task = task_of(config)
    assert "machine" in task.schema(config).model
    assert "machine" not in task.schema(load_config("digits:vae")).model
    with config.unlocked():
        del config.model["name"]
    with pytest.raises(UsageError, match=r"config\.model\.name=None is not the name"):
        task.check(config)


def test_a_generator_by_import_path_brings_its_settings(monkeypatch, tmp_path):
    (tmp_path / "tall_generator.py").write_text(
        "from ml_collections import ConfigDict\n"
        "from dfm_flax.generation.generators.vae import VariationalAutoencoder\n"
        "class Tall(VariationalAutoencoder):\n"
        "    @classmethod\n"
        "    def settings(cls):\n"
        "        return ConfigDict({'loss': {'likelihood': 'gaussian', 'height': 3}})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = load_config("base_generation:tall_generator:Tall")
    assert config.model.name == "tall_generator:Tall"
    assert config.loss.height == 3
    task_of(config).check(config)
