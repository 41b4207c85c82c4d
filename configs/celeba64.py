"""Generation of CelebA's faces at 64x64, for 8 GPUs: cifar10_best's machines, wider and finer.

    dfm train --config celeba64 --workdir runs/celeba64
    dfm train --config celeba64:vae ...             the variational autoencoder
    dfm train --config celeba64:autoencoder ...     the same decoder, straight to pixels

TFDS downloads the set, or `dfm data import faces FOLDER --size 64` makes one of its pictures. Not
trained yet: no accelerator was at hand. What is known, and what follows from it, is in
docs/how-to/launch.md.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config(name: str = "dfm") -> ConfigDict:
    config = load_config(f"base_generation:{name}")
    config.data.name = "celeb_a"
    config.data.split = "train"
    config.data.size = 64  # 162,770 images of 12,288 bytes: 2.0 GB, which a GPU holds
    config.model.latent_size = 192
    config.model.encoder_hidden = (1024, 512)
    config.model.hidden = (512, 1024)
    if name == "dfm":
        config.model.machine.width = 24
        config.model.machine.basis = ("full", "additive", "additive")
        # Faces are smoother than photos of all things: a period is 8 pixels.
        config.model.machine.max_frequencies = (8, 1, 1)
        config.model.machine.variances = (0.02, 0.01, 0.5)
        config.loss.num_pixels = 1024  # of 4,096
    elif name == "vae":
        config.loss.likelihood = "gaussian"
    if name != "vae":
        config.loss.latent_noise = 0.03

    config.optimizer.b2 = 0.99
    config.optimizer.warmup_steps = 500
    config.optimizer.ema_decay = 0.999

    config.training.batch_size = 512  # 64 images a GPU
    config.training.num_steps = 32_000  # 100 epochs
    config.training.checkpoint_every = 2_000
    config.observe_every = 2_000
    return config
