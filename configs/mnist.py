"""Generation of MNIST to the letter of the thesis: a table of latents (algorithm 2).

    dfm train --config configs/mnist.py --workdir runs/mnist_thesis

The thesis: all 70,000 images, batches of 64, all pixels of each, Adam at a rate that falls
linearly from 1e-2 to 1e-7, the table's rate 1000 times smaller, lambda 0.5, about 120 latents,
Gaussian weights of variance 2e-2 and biases at 0. It does not say how large the machine and
the decoder are, nor how long it trains: those are ours. docs/generation.md says what came out.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.task = "generate"
    config.seed = 0

    config.data = ConfigDict()
    config.data.name = "mnist"
    config.data.split = "all"
    config.data.data_dir = ""
    config.data.size = 0

    config.model = ConfigDict()
    config.model.name = "dfm"
    config.model.latent_size = 120
    config.model.latents = "table"
    config.model.table_variance = 2e-2  # the thesis has one Gaussian for all that is learned
    # With these sizes a variance of 2e-2 gives coefficients of about 0.3; with layers of 512 it
    # gives 1.1, and machines whose outputs span many periods.
    config.model.hidden = (128, 128)
    config.model.activation = "relu"
    config.model.initialization = "plain"
    config.model.variance = 2e-2
    config.model.machine = ConfigDict()
    config.model.machine.depth = 4
    config.model.machine.width = 4
    config.model.machine.max_frequencies = (1, 1, 1)
    config.model.machine.additive = (False, False, False)
    config.model.machine.residual = True
    config.model.machine.extent = 1.0

    config.loss = ConfigDict()
    config.loss.latent_penalty = 0.5
    config.loss.latent_noise = 0.0

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.b1 = 0.9
    config.optimizer.b2 = 0.999
    config.optimizer.learning_rate = 1e-2
    config.optimizer.final_learning_rate = 1e-7
    config.optimizer.schedule = "linear"
    config.optimizer.warmup_steps = 0
    config.optimizer.latent_ratios = (1000.0, 1000.0)  # the scan could also read 100
    config.optimizer.ema_decay = 0.0

    config.training = ConfigDict()
    config.training.num_steps = 30_000  # 27 epochs
    config.training.batch_size = 64
    config.training.pixels = 0
    config.training.jitter = 0.0
    config.training.log_every = 100
    config.training.images_every = 2_500
    config.training.checkpoint_every = 2_500
    config.training.keep_checkpoints = 2
    return config
