"""The settings that a config of compression must have, and the machine that they describe."""

from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.models.machine import make_machine
from dfm_flax.training.optimizers import check_optimizer

# What a config must have, each with a value of the right type.
SETTINGS = {
    "task": "compress",
    "seeds": (0, 1),
    "data.images": ("a.png", "b.png"),
    "data.resize": 0,
    "data.crop": (400, 400),
    "model.depth": 4,
    "model.width": 9,
    "model.max_frequencies": (1, 1, 1),
    "model.variances": (0.1, 0.1, 0.1),
    "model.additive": False,
    "model.normalize": False,
    "model.residual": True,
    "model.extent": 1.0,
    "optimizer.name": "adam",
    "optimizer.b1": 0.9,
    "optimizer.b2": 0.999,
    "optimizer.learning_rate": 1e-4,
    "optimizer.final_learning_rate": 0.0,
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "training.num_steps": 1000,
    "training.batch_size": 64,
    "training.sampling": "uniform",
    "training.log_every": 100,
    "training.checkpoint_every": 100,
    "training.keep_checkpoints": 2,
}
SETTINGS_OF_SOAP = {"optimizer.refresh_every": 20}

# Runs that differ in these alone can be trained side by side: in numbers of the optimizer, which
# become data of the step, and in what shows in the initial weights only.
NUMBERS = ("b1", "b2", "learning_rate", "final_learning_rate")
MAY_DIFFER = (*(f"optimizer.{name}" for name in NUMBERS), "model.variances", "model.normalize")


def check_settings(config: ConfigDict) -> None:
    """Raises UsageError unless a config has all settings of compression, no others, and sense."""
    configs.check(config, "config", SETTINGS, SETTINGS_OF_SOAP)
    make_machine(config, channels=3)
    check_optimizer(config.optimizer, config.training.num_steps)
