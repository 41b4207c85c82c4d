"""Figures 5.1 and 5.2 of the thesis: final losses over depth and width, and their pictures.

    dfm sweep --config configs/sweeps/figure_5_1.py --workdir runs/figure_5_1

Five seeds of each machine on one image of 400x400, by the thesis's settings (compress.py). What
is reduced are the steps; --config.training.num_steps=100000 takes ten times as long.
"""

from pathlib import Path

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config() -> ConfigDict:
    config = load_config(Path(__file__).parents[1] / "compress.py").unlock()
    config.seeds = (0, 1, 2, 3, 4)
    config.training.num_steps = 10_000
    config.training.log_every = 1_000
    config.training.checkpoint_every = 5_000

    config.grid = ConfigDict()
    config.grid.model = ConfigDict()
    config.grid.model.depth = (2, 3, 4, 5, 6, 7)
    config.grid.model.width = (2, 3, 4, 5, 6, 7, 8)

    config.figures = ConfigDict()
    config.figures.loss_bounds = (0.075, 0.1, 0.15, 0.2)
    return config
