"""The quick start of generation: scikit-learn's 1,797 digits of 8x8 pixels, in a minute.

dfm train --config configs/digits.py --workdir runs/digits
dfm train --config configs/digits.py:table ...         latents from a table, not an encoder
dfm train --config configs/digits.py:vae ...           the variational autoencoder
dfm train --config configs/digits.py:autoencoder ...   the same decoder, straight to pixels
"""

from ml_collections import ConfigDict


def get_config(variant: str = "dfm") -> ConfigDict:
    name = "dfm" if variant == "table" else variant
    config = ConfigDict()
    config.task = "generate"
    config.seed = 0

    config.data = ConfigDict()
    config.data.name = "digits"
    config.data.split = "all"
    config.data.data_dir = ""
    config.data.size = 0

    config.model = ConfigDict()
    config.model.name = name
    config.model.latent_size = 16
    config.model.latents = "table" if variant == "table" else "encoder"
    if variant == "table":
        config.model.table_variance = 0.1
    else:
        config.model.encoder_hidden = (256,)
    config.model.hidden = (256,)
    config.model.activation = "relu"
    if name == "dfm":
        config.model.initialization = "sane"
        config.model.variance = 0.1
        config.model.machine = ConfigDict()
        config.model.machine.depth = 3
        config.model.machine.width = 8
        config.model.machine.max_frequencies = (3, 1, 1)
        config.model.machine.variances = (0.35, 0.06, 0.05)
        config.model.machine.additive = (True, True, True)
        config.model.machine.normalize = True
        config.model.machine.residual = False
        config.model.machine.extent = 0.7

    config.loss = ConfigDict()
    if name == "vae":
        config.loss.likelihood = "bernoulli"
    else:
        config.loss.latent_penalty = 1e-3
        config.loss.latent_noise = 0.1

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    config.optimizer.learning_rate = 2e-3
    config.optimizer.final_learning_rate = 0.0
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    config.optimizer.latent_ratios = (1.0, 1.0)
    config.optimizer.ema_decay = 0.99

    config.training = ConfigDict()
    config.training.num_steps = 4_000
    config.training.batch_size = 64
    if name == "dfm":
        config.training.pixels = 0
        config.training.jitter = 0.0
    config.training.log_every = 200
    config.training.images_every = 1_000
    config.training.checkpoint_every = 1_000
    config.training.keep_checkpoints = 2
    return config
