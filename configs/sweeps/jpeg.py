"""Machines of sizes at which JPEG breaks down, beside JPEG.

    dfm sweep --config sweeps/jpeg --workdir runs/jpeg --config.data.images=FOLDER

The machines are those of compress_best.py, narrow ones of 0.5 to 3.8% of the raw size by the
thesis's rule, 32 bits a weight. What is reduced are the steps: compress_best.py takes 10,000.
On six images of ImageNet the means are 22.4 to 28.4 dB; JPEG is level at 0.5% and ahead from 0.9%
on: docs/results/thesis.md.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config() -> ConfigDict:
    config = load_config("compress_best:3500")
    config.data.images = ("sample:astronaut", "sample:coffee", "sample:rocket")
    config.training.num_steps = 1_500
    config.training.log_every = 150
    config.training.checkpoint_every = 300
    config.observe_every = 300
    with config.unlocked():
        config.grid = ConfigDict({"model": {"machine": {"width": (6, 9, 14, 21)}}})
        config.figures = ConfigDict({"jpeg": True})
    return config
