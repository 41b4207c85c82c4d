"""The settings that a config of generation must have; they depend on the model."""

from typing import Any

from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.errors import UsageError
from dfm_flax.models.mlp import ACTIVATIONS
from dfm_flax.training.optimizers import check_optimizer

# Each with a value of the right type.
_COMMON = {
    "task": "generate",
    "seed": 0,
    "data.name": "digits",
    "data.split": "all",
    "data.data_dir": "",
    "data.size": 0,
    "model.name": "dfm",
    "model.latent_size": 120,
    "model.latents": "encoder",
    "model.hidden": (512, 512),
    "model.activation": "relu",
    "optimizer.name": "adam",
    "optimizer.b1": 0.9,
    "optimizer.b2": 0.999,
    "optimizer.learning_rate": 1e-3,
    "optimizer.final_learning_rate": 0.0,
    "optimizer.schedule": "cosine",
    "optimizer.warmup_steps": 0,
    "optimizer.latent_ratios": (1.0, 1.0),
    "optimizer.ema_decay": 0.0,
    "training.num_steps": 1000,
    "training.batch_size": 64,
    "training.log_every": 100,
    "training.images_every": 1000,
    "training.checkpoint_every": 1000,
    "training.keep_checkpoints": 2,
}
_OF_MODEL: dict[str, dict[str, Any]] = {
    "dfm": {
        "model.initialization": "sane",
        "model.variance": 0.1,
        "model.machine.depth": 3,
        "model.machine.width": 16,
        "model.machine.max_frequencies": (8, 1, 1),
        "model.machine.additive": (True, True, True),
        "model.machine.residual": False,
        "model.machine.extent": 0.7,
        "loss.latent_penalty": 1e-3,
        "loss.latent_noise": 0.1,
        "training.pixels": 0,
        "training.jitter": 0.0,
    },
    "autoencoder": {"loss.latent_penalty": 1e-3, "loss.latent_noise": 0.1},
    "vae": {"loss.likelihood": "bernoulli"},
}
_OF_LATENTS: dict[str, dict[str, Any]] = {
    "table": {"model.table_variance": 1.0},
    "encoder": {"model.encoder_hidden": (512, 512)},
}
_OF_INITIALIZATION: dict[str, dict[str, Any]] = {
    "plain": {},
    "sane": {
        "model.machine.variances": (0.35, 0.06, 0.05),
        "model.machine.normalize": True,
    },
}
_OF_SOAP = {"optimizer.refresh_every": 20}


def check_settings(config: ConfigDict) -> None:
    """Raises UsageError unless a config has all settings that its model takes, and no others."""
    known = configs.flatten(config)
    wanted = dict(_COMMON)
    wanted |= _of(known, "model.name", _OF_MODEL)
    wanted |= _of(known, "model.latents", _OF_LATENTS)
    if known["model.name"] == "dfm":
        wanted |= _of(known, "model.initialization", _OF_INITIALIZATION)
    configs.check(config, "config", wanted, _OF_SOAP)
    _of(known, "model.activation", {name: {} for name in ACTIVATIONS})
    for key in ("model.hidden", "model.encoder_hidden"):
        if min(known.get(key, ()), default=1) < 1:
            raise UsageError(f"config: {key}={known[key]}: each layer has 1 unit or more")
    for key in ("model.variance", "model.table_variance"):
        if known.get(key, 0) < 0:
            raise UsageError(f"config: {key}={known[key]}: 0 or more")
    if known["model.name"] == "vae":
        _of(known, "loss.likelihood", {"bernoulli": {}, "gaussian": {}})
        if known["model.latents"] != "encoder":
            raise UsageError("a VAE has an encoder: use --config.model.latents=encoder")
    check_optimizer(config.optimizer, config.training.num_steps)


def _of(known: dict[str, Any], setting: str, choices: dict[str, dict[str, Any]]) -> dict:
    value = known.get(setting)
    if value not in choices:
        raise UsageError(f"config: {setting}={value!r} is not one of {', '.join(choices)}")
    return choices[value]
