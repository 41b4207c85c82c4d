"""Learning rates and initial variances of the thesis's machine, side by side.

    dfm sweep --config configs/sweeps/rates.py --workdir runs/rates

The 16 cells differ in numbers only, so all are one vmapped step: `docs/sweeps.md`. The scan of the
thesis lost the exponents of both settings (see compress.py). What is reduced are the steps:
--config.training.num_steps=100000 takes ten times as long.
"""

from pathlib import Path

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config() -> ConfigDict:
    config = load_config(Path(__file__).parents[1] / "compress.py").unlock()
    config.training.num_steps = 10_000
    config.training.log_every = 1_000
    config.training.checkpoint_every = 5_000

    config.grid = ConfigDict()
    config.grid.model = ConfigDict()
    config.grid.model.variances = ((2e-2,), (2e-3,), (2e-4,), (2e-5,))
    config.grid.optimizer = ConfigDict()
    config.grid.optimizer.learning_rate = (1e-4, 3e-4, 1e-3, 3e-3)
    return config
