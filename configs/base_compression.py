"""Every setting of compression, with its meaning and default: the thesis's experiment.

A config starts from it and sets what differs:

    config = load_config("base_compression")
    config.training.num_steps = 10_000

It is the schema too: a config has these keys and no others, with values of these types.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.task = "compression"  # what is trained for; `dfm train` goes by it
    config.seed = 0  # of the first machine of each image
    config.num_seeds = 1  # machines of each image: seeds seed, seed + 1, ..

    config.data = ConfigDict()
    # Files, folders, and sample:NAME for images that ship with scikit-image.
    config.data.images = ("sample:astronaut",)
    config.data.resize = 0  # pixels of the shorter side; 0 keeps the size
    config.data.crop = ()  # (height, width) in pixels, from the center; () keeps all

    config.model = ConfigDict()
    config.model.machine = ConfigDict()
    config.model.machine.depth = 4  # layers
    config.model.machine.width = 9  # features between the layers
    # Of three values the first is the first layer's, the last the last layer's, and the second
    # that of all layers between them.
    config.model.machine.basis = ("full", "full", "full")  # or additive, or my_module:Name
    config.model.machine.max_frequencies = (1, 1, 1)  # F: frequencies are 0 to F
    config.model.machine.variances = (2e-5, 2e-5, 2e-5)  # of the initial coefficients
    config.model.machine.normalize = False  # variances are those of a layer's outputs instead
    config.model.machine.residual = True  # adds the argument where a layer's sizes agree
    config.model.machine.extent = 1.0  # part of a period that the unit square spans

    config.loss = ConfigDict()
    config.loss.name = "mse"  # or my_module:function, see docs/how-to/extend.md
    config.loss.terms = ()  # import paths my_module:function of what is added to it

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"  # or soap
    config.optimizer.b1 = 0.9  # decay of the mean of gradients
    config.optimizer.b2 = 0.999  # decay of the mean of their squares
    config.optimizer.refresh_every = 20  # steps between refreshes of the eigenbases; soap only
    config.optimizer.learning_rate = 1e-4  # at the end of the warm-up
    config.optimizer.final_learning_rate = 0.0  # at the end of the run; not of "constant"
    config.optimizer.schedule = "constant"  # or linear, or cosine
    config.optimizer.warmup_steps = 0  # steps in which the learning rate rises from 0

    config.training = ConfigDict()
    config.training.num_steps = 100_000  # updates of all parameters in the run
    config.training.batch_size = 64  # pixels of a step
    config.training.sampling = "uniform"  # or stratified, which spreads a batch over the image
    # Of matrix products: "default" is what is fast on a device (TF32 on recent GPUs, bfloat16 on
    # TPUs), "highest" float32, "high" between them. CPUs have float32 alone.
    config.training.precision = "default"
    config.training.log_every = 1_000  # steps a dispatch, with one line in the log
    config.training.checkpoint_every = 10_000  # steps, a multiple of log_every
    config.training.keep_checkpoints = 2  # the newest

    # What looks at the run as it trains: reconstructions, distortion, or my_module:Name.
    config.observers = ()
    config.observe_every = 10_000  # steps, a multiple of training.log_every
    return config
