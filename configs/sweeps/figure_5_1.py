"""Figures 5.1 and 5.2 of the thesis: final losses over depth and width, and their pictures.

    dfm sweep --config sweeps/figure_5_1 --workdir runs/figure_5_1

Five seeds of each machine on one image of 400x400, by the thesis's settings (compress.py). What
is reduced are the steps, of which compress.py takes 100,000; all cells take about half an hour of
CPU time. The best mean loss is 0.087, at depth 4 and width 8: docs/results/thesis.md.
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
        config.figures = ConfigDict({"loss_bounds": (0.1, 0.15, 0.25, 0.5)})
    return config
