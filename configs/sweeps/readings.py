"""Readings of the thesis's MNIST settings, and sizes that it does not give, on 10,000 images.

    dfm sweep --config sweeps/readings --workdir runs/readings
    dfm sweep --config sweeps/readings:sizes --workdir runs/readings_sizes

All numbers that the thesis gives are held, see mnist.py. The readings: 2e-2 as a standard
deviation or a variance, lambda against the sum over pixels or their mean, a ratio of 100 or 1000
for the table, its Adam dense or of the batch's rows. The sizes: of the decoder and the machine,
and the decoder's activation. What is reduced are the images, the steps and the pixels of each
that a step takes; a cell takes about 15 s of CPU.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config(what: str = "readings") -> ConfigDict:
    config = load_config("mnist")
    config.data.split = "train[:10000]"
    config.loss.num_pixels = 196
    config.training.num_steps = 3_000
    config.training.log_every = 500
    config.training.checkpoint_every = 3_000
    config.observe_every = 3_000

    grid = ConfigDict({"model": {}, "loss": {}, "optimizer": {}})
    if what == "readings":
        grid.model.variance = (4e-4, 2e-2)
        grid.model.table_variance = (4e-4, 2e-2)
        grid.loss.latent_penalty = (0.5 / 784, 0.5)
        grid.optimizer.latent_ratios = ((100.0, 100.0), (1000.0, 1000.0))
        grid.optimizer.table_adam = ("dense", "rows")
    elif what == "sizes":
        grid.model.hidden = ((16,), (32,), (128,), (24, 48), (128, 128), (256, 512))
        grid.model.activation = ("relu", "silu", "tanh")
        grid.model.machine = ConfigDict({"depth": (3, 4), "width": (3, 4, 5)})
    else:
        raise ValueError(f"sweeps/readings:{what}: there are readings and sizes")
    with config.unlocked():
        config.grid = grid
    return config
