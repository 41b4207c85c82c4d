"""Compression with what trains best: an additive Fourier machine, SOAP, stratified batches.

    dfm train --config configs/compress_best.py --workdir runs/photo --config.data.images=photo.jpg
    dfm train --config configs/compress_best.py:3500 ...    the widest machine of 3,500 weights

docs/training.md says what each difference to the thesis's compress.py gives.
"""

from ml_collections import ConfigDict

from dfm_flax.fourier import widest


def get_config(weights: str = "21600") -> ConfigDict:
    most = int(weights)
    small = most < 10_000
    config = ConfigDict()
    config.task = "compress"
    config.seeds = (0,)

    config.data = ConfigDict()
    config.data.images = ("sample:astronaut",)
    config.data.resize = 0
    config.data.crop = (400, 400)

    config.model = ConfigDict()
    config.model.depth = 6
    config.model.max_frequencies = (8, 1, 2)
    config.model.additive = True
    config.model.width = widest(most, 6, 3, (8, 1, 2), additive=True)
    # Of each layer's outputs: a good part of the next layer's period, without folding it. Few
    # weights can hold smooth images only, and get there sooner from a smooth start.
    config.model.normalize = True
    config.model.variances = (0.05, 0.02, 0.05) if small else (0.35, 0.06, 0.05)
    config.model.residual = False
    # Less than a period, or opposite edges of the image would have to be equal.
    config.model.extent = 0.7

    config.optimizer = ConfigDict()
    config.optimizer.name = "soap"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.95
    config.optimizer.refresh_every = 20
    config.optimizer.learning_rate = 8e-3 if small else 4e-3
    config.optimizer.final_learning_rate = 0.0
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100

    config.training = ConfigDict()
    config.training.num_steps = 10_000
    config.training.batch_size = 6_400
    config.training.sampling = "stratified"
    config.training.log_every = 100
    config.training.checkpoint_every = 1_000
    config.training.keep_checkpoints = 2
    return config
