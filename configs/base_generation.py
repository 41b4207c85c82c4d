"""Every setting of generation, with its meaning and default.

A config starts from it and sets what differs:

    config = load_config("base_generation:dfm")
    config.training.num_steps = 10_000

The name after the colon is that of the generator, whose own settings (machine, loss) stand in
its file under dfm_flax/generation/generators/. Both together are the schema: a config has these
keys and no others, with values of these types.
"""

from ml_collections import ConfigDict

from dfm_flax.generation.generator import GENERATORS


def get_config(generator: str = "dfm") -> ConfigDict:
    config = ConfigDict()
    config.task = "generation"  # what is trained for; `dfm train` goes by it
    config.seed = 0  # of weights, latents, batches and noise

    config.data = ConfigDict()
    config.data.name = "digits"  # or a set of TFDS, or folder:PATH, or my_module:function
    config.data.split = "all"  # or train, test, or what TFDS takes, such as train[:1000]
    config.data.data_dir = ""  # of TFDS; "" for ~/tensorflow_datasets
    config.data.size = 0  # pixels of the sides that images are brought to; 0 keeps the size
    # "device" keeps all images on each device, "stream" reads those of the next steps from the
    # disk, "auto" streams sets that take more than a quarter of a device's memory.
    config.data.feed = "auto"
    config.data.workers = -1  # processes that read a stream; -1: for each core but one, 16 at most

    config.model = ConfigDict()
    config.model.name = generator  # dfm, grids, vae or autoencoder, or my_module:Name
    config.model.latent_size = 120  # numbers that stand for an image
    config.model.latents = "encoder"  # or table: one row for each image, learned
    config.model.table_variance = 1.0  # of the initial rows; table only
    config.model.encoder_hidden = (512, 512)  # features of the encoder's hidden layers
    config.model.hidden = (512, 512)  # features of the decoder's hidden layers
    config.model.activation = "relu"  # or gelu, silu, tanh

    config.loss = ConfigDict()
    config.loss.name = ""  # the generator's own, or my_module:function, see docs/how-to/extend.md
    config.loss.terms = ()  # import paths my_module:function of what is added to it

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"  # or soap
    config.optimizer.b1 = 0.9  # decay of the mean of gradients
    config.optimizer.b2 = 0.999  # decay of the mean of their squares
    config.optimizer.refresh_every = 20  # steps between refreshes of the eigenbases; soap only
    config.optimizer.learning_rate = 1e-3  # of the decoder, at the end of the warm-up
    config.optimizer.final_learning_rate = 0.0  # at the end of the run; not of "constant"
    config.optimizer.schedule = "cosine"  # or constant, or linear
    config.optimizer.warmup_steps = 0  # steps in which the learning rate rises from 0
    # The decoder's learning rate over that of the encoder or table, at the start and at the end.
    config.optimizer.latent_ratios = (1.0, 1.0)
    # Of the table's rows: "rows" moves a row at the steps that it is in the batch; "dense" moves
    # all rows at every step, as Adam over the whole table does, at the same cost.
    config.optimizer.table_adam = "rows"
    config.optimizer.ema_decay = 0.0  # of the average of the weights; 0 for none

    config.training = ConfigDict()
    config.training.num_steps = 10_000  # updates of all parameters in the run
    config.training.batch_size = 64  # images of a step
    # Of matrix products: "default" is what is fast on a device (TF32 on recent GPUs, bfloat16 on
    # TPUs), "highest" float32, "high" between them. CPUs have float32 alone.
    config.training.precision = "default"
    # Of a table of latents: "replicated", all of it on each device, or "sharded", of each device an
    # equal part of its rows, by which tables larger than a device train.
    config.training.table_placement = "replicated"
    config.training.log_every = 100  # steps a dispatch, with one line in the log
    config.training.checkpoint_every = 1_000  # steps, a multiple of log_every
    config.training.keep_checkpoints = 2  # the newest

    # What looks at the run as it trains; held_out, frechet and my_module:Name as well.
    config.observers = ("reconstructions", "samples")
    config.observe_every = 1_000  # steps, a multiple of training.log_every

    # The generator's own settings, such as model.machine and loss.latent_penalty.
    config.update(GENERATORS.get(generator).settings())
    return config
