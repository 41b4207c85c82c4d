"""The quick start of generation: scikit-learn's 1,797 digits of 8x8 pixels, in a minute.

    dfm train --config digits --workdir runs/digits
    dfm train --config digits:table ...         latents from a table, not an encoder
    dfm train --config digits:grids ...         latents on a grid of 4x4 cells
    dfm train --config digits:vae ...           the variational autoencoder
    dfm train --config digits:autoencoder ...   the same decoder, straight to pixels

29 s of training on two very busy CPU cores, and reconstructions of 27.4 dB.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config(variant: str = "dfm") -> ConfigDict:
    name = "dfm" if variant == "table" else variant
    config = load_config(f"base_generation:{name}")
    config.model.latent_size = 16
    config.model.encoder_hidden = (256,)
    config.model.hidden = (256,)
    if variant == "table":
        config.model.latents = "table"
        config.model.table_variance = 0.1
    if name == "dfm":
        config.model.machine.width = 8
        config.model.machine.max_frequencies = (3, 1, 1)
        # Machines that start smooth stay smooth between the pixels, and allow larger steps.
        config.model.machine.variances = (0.02, 0.01, 0.5)
    if name == "grids":
        config.model.cells = 4
        config.model.latent_size = 32  # 2 of each cell of 2x2 pixels
        config.model.features = 32
        config.model.series = 16

    config.optimizer.b2 = 0.99
    config.optimizer.learning_rate = 4e-3 if name == "dfm" else 2e-3
    config.optimizer.warmup_steps = 100
    config.optimizer.ema_decay = 0.99

    config.training.num_steps = 4_000
    config.training.log_every = 200
    return config
