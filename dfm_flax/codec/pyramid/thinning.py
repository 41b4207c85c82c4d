"""Fewer bits of a trained pyramid: some of its numbers, one step nearer to zero.

The numbers that cost the least distortion for a bit go first. The distortion is estimated, by its
slope, and by the squares of what a number does to each sample (Gauss-Newton, from random signs).
The bits are exact for one number alone: its own, and those of the numbers that it is a neighbor of,
which often take more when it says less of them. What order they have is decided once; how many are
taken, the caller says. Many at once, whose effects overlap, save and cost other than the sum.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int32, PRNGKeyArray

from dfm_flax.codec.pyramid.geometry import Grids, Matrices, values_at
from dfm_flax.codec.pyramid.image import PyramidImage, gain_of
from dfm_flax.codec.pyramid.network import NEIGHBORS, Network, Weights, neighbors_of
from dfm_flax.codec.pyramid.rate import laplace_bits
from dfm_flax.data.images import Image
from dfm_flax.typing import AnyArray

_PROBES = 8  # random signs of all samples
_LEAST_BITS = 1.0  # saved, or a number goes last


class Thinning:
    """All thinnings of an image, from none taken to all that are not zero."""

    def __init__(self, image: Image, coded: PyramidImage):
        self._grids = coded.grids
        grids = tuple(np.asarray(grid, np.float32) for grid in coded.grids)
        network, weights = coded.weights.network, coded.weights.floats
        colors = np.ascontiguousarray(image.pixels.transpose(2, 0, 1), np.float32)
        distortion = _flat(
            _distortion_of_steps(
                network,
                weights,
                grids,
                gain_of(coded.gain_code),
                coded.pyramid.at_pixels(),
                colors,
                jax.random.PRNGKey(0),
            )
        )
        saved = np.asarray(bits_of_steps(network, weights, grids))
        dear = saved > _LEAST_BITS
        price = np.where(dear, distortion / np.where(dear, saved, 1), np.inf)
        taken = np.flatnonzero(_flat(grids))
        self._order = taken[np.argsort(price[taken], kind="stable")]

    @property
    def most(self) -> int:
        """How many can be taken."""
        return len(self._order)

    def at(self, count: int) -> list[Int32[np.ndarray, "_height _width"]]:
        """The grids with the `count` cheapest numbers one step nearer to zero."""
        flat = _flat(self._grids)
        which = self._order[:count]
        flat[which] -= np.sign(flat[which])
        ends = np.cumsum([grid.size for grid in self._grids])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(grid.shape) for part, grid in zip(parts, self._grids, strict=True)]


def _flat(grids: Sequence[Any]) -> Any:
    return np.concatenate([np.asarray(grid).ravel() for grid in grids])


@functools.partial(jax.jit, static_argnums=0)
def _distortion_of_steps(
    network: Network,
    weights: Weights,
    grids: Grids,
    gain: float | Float[AnyArray, ""],
    matrices: Matrices,
    colors: Float[AnyArray, "channels height width"],
    key: PRNGKeyArray,
) -> Grids:
    """How much the mean squared error grows when a number is one step nearer to zero."""

    def draw(grids: Grids) -> Float[jax.Array, "channels height width"]:
        return network.picture(weights, values_at(network.values(grids, gain), matrices))

    picture, pull_back = jax.vjp(draw, grids)
    (slopes,) = pull_back(2 * (picture - colors) / picture.size)

    def add(total: Grids, key: PRNGKeyArray) -> tuple[Grids, None]:
        (pulled,) = pull_back(jax.random.rademacher(key, picture.shape, jnp.float32))
        return jax.tree.map(lambda total, g: total + g**2, total, pulled), None

    zeros = jax.tree.map(jnp.zeros_like, grids)
    squares, _ = jax.lax.scan(add, zeros, jax.random.split(key, _PROBES))
    return jax.tree.map(
        lambda grid, slope, square: (
            -slope * jnp.sign(grid) + _smoothed(square) / _PROBES / picture.size
        ),
        grids,
        slopes,
        squares,
    )


def _smoothed(squares: Float[AnyArray, "height width"]) -> Float[jax.Array, "height width"]:
    """Means over 3 x 3 cells: of a few random signs each alone is far off."""
    height, width = squares.shape
    padded = jnp.pad(squares, 1, mode="edge")
    parts = [padded[a : a + height, b : b + width] for a in range(3) for b in range(3)]
    return jnp.mean(jnp.stack(parts), axis=0)


@functools.partial(jax.jit, static_argnums=0)
def bits_of_steps(
    network: Network, weights: Weights, grids: Grids
) -> Float32[jax.Array, "latents"]:
    """How many bits fewer all numbers take together when one is one step nearer to zero."""
    numbers = jnp.concatenate([grid.ravel() for grid in grids])
    sizes = tuple(grid.size for grid in grids)
    neighbors = neighbors_of(grids)
    predicted = network.predict_from(weights, neighbors, sizes)
    before = laplace_bits(numbers, *predicted)

    def by_neighbor(i: Int32[jax.Array, ""]) -> Float[jax.Array, "latents"]:
        nearer = neighbors.at[i].add(-jnp.sign(neighbors[i]))
        return before - laplace_bits(numbers, *network.predict_from(weights, nearer, sizes))

    own = before - laplace_bits(numbers - jnp.sign(numbers), *predicted)
    # What is saved by a step of a neighbor is due to that neighbor.
    of_others = jax.lax.map(by_neighbor, jnp.arange(len(NEIGHBORS)))
    (due,) = jax.linear_transpose(neighbors_of, grids)(of_others)
    return own + jnp.concatenate([bits.ravel() for bits in due])
