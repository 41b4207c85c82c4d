"""Generation of ImageNet at 64x64, for 8 GPUs: cifar10_best's machines, wider and finer.

    dfm data import imagenet64 FOLDER_OF_IMAGENET --size 64      # once
    dfm train --config imagenet64 --workdir runs/imagenet64 --config.data.name=imagenet64
    dfm train --config imagenet64:table ...     latents from a table that is shared out, no encoder

TFDS's own set of this size is the default; to stream it, let it be downloaded with
--config.data.feed=stream. Not trained yet: no accelerator was at hand. What is
known, and what follows from it, is in docs/how-to/launch.md.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config(variant: str = "dfm") -> ConfigDict:
    name = "dfm" if variant == "table" else variant
    config = load_config(f"base_generation:{name}")
    config.data.name = "imagenet_resized/64x64"
    config.data.split = "train"
    config.data.size = 64
    # 15.7 GB of bytes: GPUs of 80 GB keep them, for smaller ones they are streamed.
    config.data.feed = "auto"
    config.model.latent_size = 256
    # 12,288 numbers go into the encoder: half of all weights lie in its first layer.
    config.model.encoder_hidden = (1024, 1024)
    config.model.hidden = (1024, 1024)
    if variant == "table":
        config.model.latents = "table"
        config.model.latent_size = 120
        config.training.table_placement = "sharded"  # 1.8 GB with its moments
    if name == "dfm":
        config.model.machine.width = 28
        config.model.machine.basis = ("full", "additive", "additive")
        # A period is the width of the image over 10: 6 pixels, as fine as cifar10_best has them.
        config.model.machine.max_frequencies = (10, 1, 1)
        config.model.machine.variances = (0.02, 0.01, 0.5)
        config.loss.num_pixels = 1024  # of 4,096
    elif name == "vae":
        config.loss.likelihood = "gaussian"
    if name != "vae":
        config.loss.latent_noise = 0.03

    config.optimizer.b2 = 0.99
    config.optimizer.warmup_steps = 1_000
    config.optimizer.ema_decay = 0.9995

    config.training.batch_size = 1024  # 128 images a GPU
    config.training.num_steps = 125_000  # 100 epochs
    config.training.log_every = 250
    config.training.checkpoint_every = 2_500
    config.observe_every = 2_500
    return config
