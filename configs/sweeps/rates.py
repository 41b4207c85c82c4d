"""Learning rates and initial variances of the thesis's machine, side by side.

    dfm sweep --config sweeps/rates --workdir runs/rates

The 16 cells differ in numbers only, so all are one vmapped step: docs/how-to/sweeps.md. The scan
of the thesis lost the exponents of both settings (see compress.py). What is reduced are the steps:
--config.training.num_steps=100000 takes ten times as long.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config() -> ConfigDict:
    config = load_config("compress")
    config.training.num_steps = 10_000
    config.training.checkpoint_every = 5_000
    with config.unlocked():
        config.grid = ConfigDict(
            {
                "model": {"machine": {"variances": ((2e-2,), (2e-3,), (2e-4,), (2e-5,))}},
                "optimizer": {"learning_rate": (1e-4, 3e-4, 1e-3, 3e-3)},
            }
        )
    return config
