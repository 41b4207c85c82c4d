"""The pyramid of grids of an image: sizes, and the values of their series at pixels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from dfm_flax.models.grids import cosine_matrix, grid_at
from dfm_flax.typing import AnyArray

MAX_GRIDS = 7  # cells of 1, 2, 4, .., 64 pixels a side

# Of each grid, what takes it to rows and to columns.
Matrices = tuple[
    tuple[Float32[AnyArray, "height _nodes_y"], Float32[AnyArray, "width _nodes_x"]], ...
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

    def matrices(
        self, rows: Float[np.ndarray, "height"], columns: Float[np.ndarray, "width"]
    ) -> Matrices:
        """What takes the grids to positions in pixels from the corner; centers are at 1/2."""
        return tuple(
            (cosine_matrix(h, rows / 2**exponent), cosine_matrix(w, columns / 2**exponent))
            for (h, w), exponent in zip(self.shapes, self.exponents, strict=True)
        )

    def at_pixels(self) -> Matrices:
        """The matrices of all pixels of the image."""
        return self.matrices(np.arange(self.height) + 0.5, np.arange(self.width) + 0.5)


def values_at(
    grids: tuple[Float[AnyArray, "_nodes_y _nodes_x"], ...], matrices: Matrices
) -> Float[jax.Array, "grids height width"]:
    """The series of all grids at the positions of `matrices`."""
    return jnp.stack(
        [
            # Without a barrier XLA's CPU backend computes a product again for each of its uses.
            jax.lax.optimization_barrier(grid_at(grid, rows, columns))
            for grid, (rows, columns) in zip(grids, matrices, strict=True)
        ]
    )
