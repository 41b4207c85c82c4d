"""The pyramid of grids of an image: sizes, and the values of their series at pixels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from dfm_flax.models.grids import cosine_matrix, grid_at
from dfm_flax.typing import AnyArray

MAX_GRIDS = 7  # cells of 1, 2, 4, .., 64 pixels a side
MAX_SIDE = 2**15  # pixels: matrices of a series have its length squared
# Numbers of all grids. Where the context makes them nearly certain a file takes next to nothing
# for them (an image of one color has millions in some hundred bytes), so that this limit cannot
# go with the file's size; but no reader has more to do than for so many, which takes seconds.
MAX_LATENTS = 2**25

Grids = tuple[Float[AnyArray, "_height _width"], ...]  # finest first
Values = tuple[Float[AnyArray, "height width"], ...]  # of the series of each, at all pixels
# Of each grid, what takes its rows or its columns to positions.
Lines = tuple[Float32[AnyArray, "positions _nodes"], ...]
# Both; None of a grid whose nodes the positions are.
Matrices = tuple[
    tuple[Float32[AnyArray, "height _nodes_y"], Float32[AnyArray, "width _nodes_x"]] | None, ...
]


@dataclass(frozen=True)
class Pyramid:
    """Grids whose cells are 2^first, .., 2^(first + count - 1) pixels a side, finest first.

    Attributes:
      height, width: of the image, in pixels.
      first: exponent of the finest.
      count: number of grids.
    """

    height: int
    width: int
    first: int
    count: int

    @property
    def exponents(self) -> range:
        return range(self.first, self.first + self.count)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Of each grid: as many cells as cover the image."""
        return [
            (-(-self.height // 2**exponent), -(-self.width // 2**exponent))
            for exponent in self.exponents
        ]

    @property
    def size(self) -> int:
        """Numbers of all grids together."""
        return sum(height * width for height, width in self.shapes)

    def rows_at(self, at: Float[np.ndarray, "height"]) -> Lines:
        """What takes the rows of grids to positions in pixels; the first center is at 1/2."""
        return tuple(
            cosine_matrix(h, at / 2**exponent)
            for (h, _), exponent in zip(self.shapes, self.exponents, strict=True)
        )

    def columns_at(self, at: Float[np.ndarray, "width"]) -> Lines:
        """The same of their columns."""
        return tuple(
            cosine_matrix(w, at / 2**exponent)
            for (_, w), exponent in zip(self.shapes, self.exponents, strict=True)
        )

    def at_pixels(self) -> Matrices:
        """What takes the grids to all pixels of the image."""
        y, x = np.arange(self.height) + 0.5, np.arange(self.width) + 0.5
        return tuple(
            (cosine_matrix(h, y / 2**exponent), cosine_matrix(w, x / 2**exponent))
            if exponent
            else None
            for (h, w), exponent in zip(self.shapes, self.exponents, strict=True)
        )


def values_at(grids: Grids, matrices: Matrices) -> Values:
    """The series of all grids at the positions of `matrices`."""
    return tuple(
        # Without a barrier XLA's CPU backend computes a product again for each of its uses.
        jnp.asarray(grid) if lines is None else jax.lax.optimization_barrier(grid_at(grid, *lines))
        for grid, lines in zip(grids, matrices, strict=True)
    )
