"""Figures 5.1 and 5.2 of the thesis: final losses over depth and width, and their pictures.

    dfm sweep --config sweeps/figure_5_1 --workdir runs/figure_5_1

Five seeds of each machine on one image of 400x400, by the thesis's settings (compress.py). What
is reduced are the steps; --config.training.num_steps=100000 takes ten times as long. The best mean
losses are 0.209 (depth 4, width 8) and 0.210 (depth 6, width 6): docs/results/thesis.md.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config() -> ConfigDict:
    config = load_config("compress")
    config.num_seeds = 5
    config.training.num_steps = 40_000
    config.training.log_every = 10_000
    config.training.checkpoint_every = 10_000
    with config.unlocked():
        config.grid = ConfigDict(
            {"model": {"machine": {"depth": (2, 3, 4, 5, 6, 7), "width": (2, 3, 4, 5, 6, 7, 8)}}}
        )
        config.figures = ConfigDict({"loss_bounds": (0.225, 0.3, 0.45, 0.6)})
    return config
