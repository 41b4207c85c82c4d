"""Grids of numbers as functions of the position: cosine series, given by their values at nodes.

A line of m nodes, at the centers of m cells of one unit each, has the series of the lowest m
frequencies that meets its values at the nodes:

    s(x) = sum_{k=0..m-1} c_k cos(pi k x / m),    s(i + 1/2) = value i

and a grid is the product of one in y and one in x. It goes on beyond its ends as its own mirror
image, with a period of 2 m cells.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from dfm_flax.typing import AnyArray


def cosine_matrix(
    nodes: int, at: Float[np.ndarray, "positions"]
) -> Float32[np.ndarray, "positions {nodes}"]:
    """The matrix that takes the values at nodes to those of the series at positions, in cells."""
    k = np.arange(nodes)
    to_coefficients = np.cos(np.pi / nodes * np.outer(k, k + 0.5)) * (2 - (k == 0))[:, None] / nodes
    return (np.cos(np.pi / nodes * np.outer(at, k)) @ to_coefficients).astype(np.float32)


def grid_at(
    grid: Float[AnyArray, "nodes_y nodes_x"],
    rows: Float[AnyArray, "height nodes_y"],
    columns: Float[AnyArray, "width nodes_x"],
) -> Float[jax.Array, "height width"]:
    """The series of a grid at each row and column of positions, see `cosine_matrix`."""
    return jnp.matmul(rows @ grid, columns.T)
