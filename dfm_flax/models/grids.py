"""Grids of numbers as functions of the position: cosine series, given by their values at nodes.

A line of m nodes, at the centers of m cells of one unit each, has the series of the lowest m
frequencies that meets its values at the nodes:

    s(x) = sum_{k=0..m-1} c_k cos(pi k x / m),    s(j + 1/2) = value j

and a grid is the product of one in y and one in x. It goes on beyond its ends as its own mirror
image, with a period of 2 m cells.

The series that is 1 at node j and 0 at all others has a closed form, with n = j + 1/2:

    (-1)^j cos(pi x) sin(pi n / m) / (m (cos(pi x / m) - cos(pi n / m)))
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from dfm_flax.typing import AnyArray

_NEAR = 1e-6  # cells, so near to a node the series is its value


def cosine_matrix(
    nodes: int, at: Float[np.ndarray, "positions"]
) -> Float32[np.ndarray, "positions {nodes}"]:
    """The matrix that takes the values at nodes to those of the series at positions, in cells."""
    half = np.pi / (2 * nodes)
    centers = np.arange(nodes) + 0.5
    signs = np.where(np.arange(nodes) % 2, -1.0, 1.0)
    # A difference of cosines as a product of sines, which does not cancel.
    before, behind = (np.sin(half * (at[:, None] + way * centers)) for way in (-1, 1))
    near = np.minimum(np.abs(before), np.abs(behind)) < _NEAR * half
    denominators = np.multiply(before, behind, out=before)
    denominators[near] = 1
    matrix = np.multiply.outer(np.cos(np.pi * (at % 2)), signs * np.sin(2 * half * centers))
    matrix /= denominators
    matrix /= -2 * nodes
    matrix[near] = 1
    return matrix.astype(np.float32)


def cosine_weights(
    nodes: int, at: Float[AnyArray, "positions"]
) -> Float[jax.Array, "positions {nodes}"]:
    """`cosine_matrix` of a few nodes, at positions that JAX knows only as it computes."""
    frequencies = np.arange(nodes)
    coefficients = np.cos(np.pi / nodes * np.outer(frequencies, frequencies + 0.5))
    coefficients *= (2 - (frequencies == 0))[:, None] / nodes
    cosines = jnp.cos(np.pi / nodes * frequencies * jnp.asarray(at)[:, None])
    return jnp.matmul(cosines, coefficients, precision=jax.lax.Precision.HIGHEST)


def grid_at(
    grid: Float[AnyArray, "nodes_y nodes_x"],
    rows: Float[AnyArray, "height nodes_y"],
    columns: Float[AnyArray, "width nodes_x"],
) -> Float[jax.Array, "height width"]:
    """The series of a grid at each row and column of positions, see `cosine_matrix`."""
    # In the cheaper of the two orders.
    return jnp.einsum("yj,ji,xi->yx", rows, grid, columns, optimize="optimal")
