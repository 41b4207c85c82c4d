"""Compression with what trains best: an additive Fourier machine, SOAP, stratified batches.

    dfm train --config compress_best --workdir runs/photo --config.data.images=photo.jpg
    dfm train --config compress_best:3500 ...    the widest machine of 3,500 weights, not 21,600

After 30 s of two CPU cores three ImageNet images have 24.2, 35.0 and 30.1 dB, where compress.py
has 12.2, 23.8 and 19.2. docs/results/compression.md says what each difference gives.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config
from dfm_flax.fourier import widest


def get_config(weights: str = "21600") -> ConfigDict:
    # Few weights can hold smooth images only, and get there sooner from a smooth start.
    small = int(weights) < 10_000
    config = load_config("base_compression")
    config.data.crop = (400, 400)

    machine = config.model.machine
    machine.depth = 6
    machine.basis = ("additive", "additive", "additive")
    machine.max_frequencies = (8, 1, 2)
    machine.width = widest(
        int(weights), 6, basis=machine.basis, max_frequencies=machine.max_frequencies
    )
    # Of each layer's outputs: a good part of the next layer's period, without folding it.
    machine.normalize = True
    machine.variances = (0.05, 0.02, 0.05) if small else (0.35, 0.06, 0.05)
    machine.residual = False
    machine.extent = 0.7  # of a whole period opposite edges of the image would have to be equal

    config.optimizer.name = "soap"
    config.optimizer.b2 = 0.95
    config.optimizer.learning_rate = 8e-3 if small else 4e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100

    config.training.num_steps = 10_000
    config.training.batch_size = 6_400
    config.training.sampling = "stratified"
    config.training.log_every = 100
    config.training.checkpoint_every = 1_000
    return config
