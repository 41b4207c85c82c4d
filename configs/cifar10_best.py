"""Generation of CIFAR-10 with what generates best: mnist_best.py's machines, wider and finer.

    dfm train --config configs/cifar10_best.py --workdir runs/cifar10
    dfm train --config configs/cifar10_best.py:vae ...           the variational autoencoder
    dfm train --config configs/cifar10_best.py:autoencoder ...   the same decoder, to pixels

docs/generation.md says what each difference to the thesis's cifar10.py gives, and what came out.
"""

from ml_collections import ConfigDict


def get_config(name: str = "dfm") -> ConfigDict:
    config = ConfigDict()
    config.task = "generate"
    config.seed = 0

    config.data = ConfigDict()
    config.data.name = "cifar10"
    config.data.split = "train"
    config.data.data_dir = ""
    config.data.size = 0

    config.model = ConfigDict()
    config.model.name = name
    config.model.latent_size = 128
    config.model.latents = "encoder"
    config.model.encoder_hidden = (512, 512)
    config.model.hidden = (512, 512)
    config.model.activation = "relu"
    if name == "dfm":
        config.model.initialization = "sane"
        config.model.variance = 0.1
        config.model.machine = ConfigDict()
        config.model.machine.depth = 3
        config.model.machine.width = 20
        config.model.machine.max_frequencies = (6, 1, 1)
        config.model.machine.variances = (0.02, 0.01, 0.5)
        config.model.machine.additive = (False, True, True)
        config.model.machine.normalize = True
        config.model.machine.residual = False
        config.model.machine.extent = 0.7

    config.loss = ConfigDict()
    if name == "vae":
        config.loss.likelihood = "gaussian"
    else:
        config.loss.latent_penalty = 1e-3
        config.loss.latent_noise = 0.03

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.99
    config.optimizer.learning_rate = 1e-3
    config.optimizer.final_learning_rate = 0.0
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 200
    config.optimizer.latent_ratios = (1.0, 1.0)
    config.optimizer.ema_decay = 0.999

    config.training = ConfigDict()
    config.training.num_steps = 40_000  # 51 epochs
    config.training.batch_size = 64
    if name == "dfm":
        config.training.pixels = 512
        config.training.jitter = 0.0
    config.training.log_every = 100
    config.training.images_every = 1_000
    config.training.checkpoint_every = 1_000
    config.training.keep_checkpoints = 2
    return config
