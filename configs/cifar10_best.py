"""Generation of CIFAR-10 with what generates best: mnist_best's machines, wider and finer.

    dfm train --config cifar10_best --workdir runs/cifar10
    dfm train --config cifar10_best:grids ...         latents on a grid of 8x8 cells
    dfm train --config cifar10_best:vae ...           the variational autoencoder
    dfm train --config cifar10_best:autoencoder ...   the same decoder, straight to pixels

24.9 minutes of CPU on two busy cores (vae and autoencoder 17.4 and 16.2), from JPEG copies of the
images. The mse of held-out images is 0.0071 (0.0119, 0.0089), the Frechet distance of samples of
the mixture by features of a classifier 16.0 (27.3, 19.5), of N(0, I) 24.4 (31.0, 28.5). By grids
0.0031, 8.6 and 26.6, after 6,000 steps.
docs/results/generation.md says what each difference to the thesis's cifar10.py gives.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config(name: str = "dfm") -> ConfigDict:
    config = load_config(f"base_generation:{name}")
    config.data.name = "cifar10"
    config.data.split = "train"
    config.model.latent_size = 128
    if name == "dfm":
        config.model.machine.width = 20
        config.model.machine.basis = ("full", "additive", "additive")
        config.model.machine.max_frequencies = (6, 1, 1)
        # Training starts at a machine that draws nearly nothing, and smoothly.
        config.model.machine.variances = (0.02, 0.01, 0.5)
        config.loss.num_pixels = 512
    elif name == "grids":
        config.model.latent_size = 256  # 4 of each cell of 4x4 pixels
        config.loss.num_pixels = 256
    elif name == "vae":
        config.loss.likelihood = "gaussian"
    if name != "vae":
        config.loss.latent_noise = 0.03

    config.optimizer.b2 = 0.99
    config.optimizer.warmup_steps = 200
    config.optimizer.ema_decay = 0.999

    config.training.num_steps = 40_000  # 51 epochs
    return config
