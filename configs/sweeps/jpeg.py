"""Machines of sizes at which JPEG breaks down, beside JPEG.

    dfm sweep --config configs/sweeps/jpeg.py --workdir runs/jpeg --config.data.images=FOLDER

The machines are those of compress_best.py, narrow ones of 0.5 to 3.8% of the raw size by the
thesis's rule, 32 bits a weight. What is reduced are the steps: compress_best.py takes 10,000.
"""

from pathlib import Path

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config() -> ConfigDict:
    config = load_config(f"{Path(__file__).parents[1]}/compress_best.py:3500").unlock()
    config.data.images = ("sample:astronaut", "sample:coffee", "sample:rocket")
    config.training.num_steps = 1_500
    config.training.log_every = 150
    config.training.checkpoint_every = 300

    config.grid = ConfigDict()
    config.grid.model = ConfigDict()
    config.grid.model.width = (6, 9, 14, 21)

    config.figures = ConfigDict({"jpeg": True})
    return config
