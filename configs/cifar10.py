"""Generation of CIFAR-10 to the letter of the thesis: an encoder (algorithm 3).

    dfm train --config configs/cifar10.py --workdir runs/cifar10_thesis

The thesis: all 60,000 images, batches of 512, all pixels of each, Adam at a rate that falls
linearly from 1e-2 to 1e-7, the encoder's rate smaller by a ratio that rises linearly from 10 to
1000, lambda 200, about 120 latents, Gaussian weights of variance 3e-2 and biases at 0. It does
not say how large the machine, the decoder and the encoder are, nor how long it trains: those
are ours. docs/generation.md says what came out.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.task = "generate"
    config.seed = 0

    config.data = ConfigDict()
    config.data.name = "cifar10"
    config.data.split = "all"
    config.data.data_dir = ""
    config.data.size = 0

    config.model = ConfigDict()
    config.model.name = "dfm"
    config.model.latent_size = 120
    config.model.latents = "encoder"
    config.model.encoder_hidden = (128, 128)
    config.model.hidden = (128, 128)
    config.model.activation = "relu"
    config.model.initialization = "plain"
    config.model.variance = 3e-2
    config.model.machine = ConfigDict()
    config.model.machine.depth = 4
    config.model.machine.width = 5
    config.model.machine.max_frequencies = (1, 1, 1)
    config.model.machine.additive = (False, False, False)
    config.model.machine.residual = True
    config.model.machine.extent = 1.0

    config.loss = ConfigDict()
    config.loss.latent_penalty = 200.0
    config.loss.latent_noise = 0.0

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.learning_rate = 1e-2
    config.optimizer.final_learning_rate = 1e-7
    config.optimizer.schedule = "linear"
    config.optimizer.warmup_steps = 0
    config.optimizer.latent_ratios = (10.0, 1000.0)
    config.optimizer.ema_decay = 0.0

    config.training = ConfigDict()
    config.training.num_steps = 12_000  # 102 epochs
    config.training.batch_size = 512
    config.training.pixels = 0
    config.training.jitter = 0.0
    config.training.log_every = 50
    config.training.images_every = 1_000
    config.training.checkpoint_every = 1_000
    config.training.keep_checkpoints = 2
    return config
