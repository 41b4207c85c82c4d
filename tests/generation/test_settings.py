import pytest

from dfm_flax.config import load_config, override
from dfm_flax.errors import UsageError
from dfm_flax.generation.settings import check_settings

CONFIGS = [
    f"{name}:{variant}"
    for name in ("digits", "mnist_best", "cifar10_best")
    for variant in ("dfm", "vae", "autoencoder")
] + ["digits:table", "mnist", "cifar10"]


@pytest.mark.parametrize("config", CONFIGS)
def test_our_configs_have_all_settings_and_no_others(config):
    name, _, variant = config.partition(":")
    check_settings(load_config(f"configs/{name}.py" + (f":{variant}" if variant else "")))


@pytest.mark.parametrize(
    ("variant", "change", "message"),
    [
        ("dfm", "model.name=gan", "model.name='gan' is not one of dfm, autoencoder, vae"),
        ("dfm", "model.latents=tabel", "not one of table, encoder"),
        ("dfm", "model.activation=elu", "not one of relu"),
        ("dfm", "model.initialization=sound", "not one of plain, sane"),
        ("dfm", "model.initialization=plain", "model.machine.normalize: no such setting"),
        ("dfm", "model.name=vae", "loss.latent_noise: no such setting"),
        ("table", "model.latents=encoder", "model.table_variance: no such setting"),
        ("vae", "loss.likelihood=laplace", "not one of bernoulli, gaussian"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(variant, change, message):
    config = load_config(f"configs/digits.py:{variant}")
    override(config, [change])
    with pytest.raises(UsageError, match=message):
        check_settings(config)


def test_a_variational_autoencoder_needs_an_encoder():
    config = load_config("configs/digits.py:vae").unlock()
    del config.model["encoder_hidden"]
    config.model.table_variance = 1.0
    config.model.latents = "table"
    with pytest.raises(UsageError, match="a VAE has an encoder"):
        check_settings(config)
