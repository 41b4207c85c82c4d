"""The thesis's generator: a decoder that maps a latent to all coefficients of a machine."""

import flax.linen as nn
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.fourier import vector_size
from dfm_flax.generation.generator import ImageShape, make_encoder
from dfm_flax.generation.losses import PenalizedGenerator, penalized
from dfm_flax.models.decoders import Decoder
from dfm_flax.models.machine import make_machine


class DeepFourierMachine(PenalizedGenerator):
    """Latents to machines, which draw images of any size (thesis, algorithms 2 and 3).

    Attributes: see `losses.penalized_loss`, and `Generator`.
    """

    @classmethod
    def settings(cls) -> ConfigDict:
        """See `Generator.settings`."""
        config = super().settings()
        config.model = ConfigDict()
        # "gaussian": all kernels are drawn from a Gaussian of model.variance, biases are 0.
        # "centered": machines start around one as FourierMachine draws it by the machine's
        # variances, and model.variance says how far around, in units of its deviations.
        config.model.init = "centered"
        config.model.variance = 0.1  # see model.init
        config.model.machine = ConfigDict()
        config.model.machine.depth = 3  # layers
        config.model.machine.width = 16  # features between the layers
        # Of three values the first is the first layer's, the last the last layer's, and the
        # second that of all layers between them.
        config.model.machine.basis = ("additive", "additive", "additive")  # or full
        config.model.machine.max_frequencies = (8, 1, 1)  # F: frequencies are 0 to F
        config.model.machine.variances = (0.35, 0.06, 0.05)  # of the coefficients; "centered" only
        config.model.machine.normalize = True  # variances are those of a layer's outputs instead
        config.model.machine.residual = False  # adds the argument where a layer's sizes agree
        config.model.machine.extent = 0.7  # part of a period that the unit square spans
        return config

    @classmethod
    def from_config(cls, config: ConfigDict, shape: ImageShape) -> "DeepFourierMachine":
        """See `Generator.from_config`."""
        model = config.model
        if model.init not in ("gaussian", "centered"):
            raise UsageError(f"config: model.init={model.init!r} is not one of gaussian, centered")
        if model.variance < 0:
            raise UsageError(f"config: model.variance={model.variance}: 0 or more")
        machine = make_machine(model.machine, shape.channels)
        gaussian = model.init == "gaussian"
        return cls(
            Decoder(machine, model.hidden, model.activation, model.variance, model.init),
            make_encoder(model, model.latent_size, model.variance if gaussian else 0.0),
            **penalized(config, shape),
        )

    @nn.nowrap
    def num_products(self, num_parameters: int, shape: ImageShape) -> int:
        """Of each parameter of the networks, and of each coefficient at each pixel."""
        num_pixels = self.num_pixels or shape.height * shape.width
        return num_parameters + vector_size(self.decoder.machine) * num_pixels
