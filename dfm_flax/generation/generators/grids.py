"""A generator whose latents lie on a grid: one machine draws all images, from what is where."""

import flax.linen as nn
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.fourier import vector_size
from dfm_flax.generation.generator import ImageShape
from dfm_flax.generation.losses import PenalizedGenerator, penalized
from dfm_flax.models.latent_grids import GridDecoder, GridEncoder
from dfm_flax.models.machine import make_machine


class LatentGrids(PenalizedGenerator):
    """Grids of latents to images of any size, see `models.latent_grids`.

    Attributes: see `losses.penalized_loss`, and `Generator`.
    """

    @classmethod
    def settings(cls) -> ConfigDict:
        """See `Generator.settings`."""
        config = super().settings()
        config.model = ConfigDict()
        config.model.latent_size = 256  # numbers that stand for an image
        config.model.cells = 8  # of a side of the grid; each has an equal part of the latents
        config.model.features = 64  # between the layers of both networks, at each cell
        config.model.blocks = 2  # residual blocks of the encoder
        config.model.decoder_blocks = 2  # of the decoder
        config.model.series = 32  # cosine series over the cells, which the machine gets
        config.model.machine = ConfigDict()
        config.model.machine.depth = 3  # layers
        config.model.machine.width = 32  # features between the layers
        # Of three values the first is the first layer's, the last the last layer's, and the
        # second that of all layers between them.
        config.model.machine.basis = ("additive", "additive", "additive")  # or full
        config.model.machine.max_frequencies = (1, 1, 1)  # F: frequencies are 0 to F
        config.model.machine.variances = (0.1, 0.1, 0.1)  # of the coefficients
        config.model.machine.normalize = True  # variances are those of a layer's outputs instead
        config.model.machine.residual = True  # adds the argument where a layer's sizes agree
        return config

    @classmethod
    def from_config(cls, config: ConfigDict, shape: ImageShape) -> "LatentGrids":
        """See `Generator.from_config`."""
        model = config.model
        for key in ("cells", "features", "series"):
            if model[key] < 1:
                raise UsageError(f"config: model.{key}={model[key]}: at least 1")
        for key in ("blocks", "decoder_blocks"):
            if model[key] < 0:
                raise UsageError(f"config: model.{key}={model[key]}: 0 or more")
        if model.cells > min(shape.height, shape.width):
            raise UsageError(
                f"config: model.cells={model.cells}: images of {shape.width}x{shape.height} pixels "
                "have no so small cells"
            )
        size, rest = divmod(model.latent_size, model.cells**2)
        if rest or not size:
            raise UsageError(
                f"config: model.latent_size={model.latent_size}: {model.cells}x{model.cells} cells "
                f"of the same size have a multiple of {model.cells**2}"
            )
        if model.latents == "table":
            raise UsageError("config: model.latents=table: a grid of latents has an encoder")
        machine = make_machine(model.machine, shape.channels, model.series + 2)
        return cls(
            GridDecoder(machine, model.cells, model.features, model.decoder_blocks),
            GridEncoder(model.cells, size, model.features, model.blocks),
            **penalized(config, shape),
        )

    @nn.nowrap
    def num_products(self, num_parameters: int, shape: ImageShape) -> int:
        """Of each parameter of the networks at each cell, and of the machine's at each pixel."""
        coefficients = vector_size(self.decoder.machine)
        num_pixels = self.num_pixels or shape.height * shape.width
        at_cells = (num_parameters - coefficients) * self.decoder.cells**2
        return at_cells + coefficients * num_pixels
