"""Latents that lie on a grid: images to grids, and grids to images through a Fourier machine.

One latent of a whole image says what all of it looks like; a grid says what is where. So the
decoder needs no new coefficients for each image: one machine draws all of them, from what the
grid says at a position (Bauer et al. 2023, arXiv:2302.03130, have such grids with other networks).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float

from dfm_flax.models.decoders import FunctionDecoder
from dfm_flax.models.grids import cosine_weights
from dfm_flax.typing import AnyArray

_WIDER = 2  # times as many features within a block

_Cells = Float[jax.Array, "batch cells cells features"]


class GridEncoder(nn.Module):
    """Images to a grid of cells x cells latents of a few numbers, through a convolutional network.

    The image is cut into cells, each becomes `features` numbers, and residual blocks look at a
    cell and its neighbors. An image whose sides are no multiple of `cells` goes on with its last
    row and column.

    Attributes:
      cells: of a side of the grid.
      size: numbers of a cell.
      features: between the layers.
      blocks: number of residual blocks.
    """

    cells: int
    size: int
    features: int
    blocks: int

    @nn.compact
    def __call__(
        self, images: Float[AnyArray, "batch height width channels"]
    ) -> Float[jax.Array, "batch latent"]:
        """The numbers of all cells, row by row."""
        height, width = (-(-side // self.cells) for side in images.shape[1:3])
        below, beside = (-side % self.cells for side in images.shape[1:3])
        padded = jnp.pad(images, [(0, 0), (0, below), (0, beside), (0, 0)], mode="edge")
        # The pixels of each cell, side by side.
        tiles = padded.reshape(len(images), self.cells, height, self.cells, width, -1)
        pixels = tiles.swapaxes(2, 3).reshape(len(images), self.cells, self.cells, -1)
        x = nn.Dense(self.features, name="inputs")(pixels)
        return _through(x, self.blocks, self.size).reshape(len(images), -1)


class GridDecoder(FunctionDecoder):
    """Latents on a grid to colors at any position.

    Residual blocks turn the latents into the values of some cosine series at the centers of
    the cells (`models.grids`). The machine's arguments are what these series are at the position,
    and the position within a cell, of which a period is a cell.

    Attributes:
      machine: of two arguments more than there are series.
      cells: of a side of the grid.
      features: between the layers of the network.
      blocks: number of its residual blocks.
    """

    cells: int
    features: int
    blocks: int

    @nn.compact
    def at(
        self, latents: Float[AnyArray, "batch latent"], positions: Float[AnyArray, "points 2"]
    ) -> Float[jax.Array, "batch points {self.machine.channels}"]:
        """Colors in [-1, 1] at positions in the unit square."""
        grid = latents.reshape(len(latents), self.cells, self.cells, -1)
        x = nn.Dense(self.features, name="inputs")(grid)
        values = _through(x, self.blocks, self.machine.arguments - 2)
        places = self.cells * jnp.asarray(positions)
        columns, rows = (cosine_weights(self.cells, place) for place in places.T)
        weights = (rows[:, :, None] * columns[:, None]).reshape(len(places), -1)
        series = jnp.einsum("pn,bns->bps", weights, values.reshape(len(grid), weights.shape[1], -1))
        within = jnp.broadcast_to(places, (len(grid), *places.shape))
        colors: Any = self.machine(jnp.concatenate([series, within], axis=-1))
        return colors


class _Block(nn.Module):
    """What a cell and its eight neighbors say of it, added to its features.

    A block of ConvNeXt (Liu et al. 2022, arXiv:2201.03545), which looks at 3x3 cells.
    """

    @nn.compact
    def __call__(self, x: _Cells) -> _Cells:
        features = x.shape[-1]
        kernel = self.param("neighbors", nn.initializers.normal(1 / 3), (3, 3, features))
        # Sums of shifted grids: a convolution a feature is slow by XLA on CPUs.
        padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        seen = sum(
            padded[:, row : row + x.shape[1], column : column + x.shape[2]] * kernel[row, column]
            for row in range(3)
            for column in range(3)
        )
        rows = nn.LayerNorm(name="norm")(seen).reshape(-1, features)
        hidden = nn.gelu(nn.Dense(_WIDER * features, name="hidden")(rows))
        zeros = nn.initializers.zeros_init()
        added = nn.Dense(features, kernel_init=zeros, name="added")(hidden)
        return x + added.reshape(x.shape)


def _through(
    x: _Cells, blocks: int, outputs: int
) -> Float[jax.Array, "batch cells cells {outputs}"]:
    """Residual blocks and a last layer, in the module that calls it."""
    for i in range(blocks):
        x = _Block(name=f"block_{i}")(x)
    x = nn.gelu(nn.LayerNorm(name="norm")(x))
    return nn.Dense(outputs, name="outputs")(x)
