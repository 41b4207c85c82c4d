"""The two small Fourier machines of an image: what draws its pixels, and what predicts its grids.

Both are two additive layers beside a linear branch.

Synthesis, of the values v [L] of the grids' series at a pixel, with F = 2:

    color = bias + linear v + last(first(scales v)),    then the 3x3 filter is added

Context, of the K neighbors n of a latent that come before it, with F = 1:

    (u mean, log2 (u scale)) = levels[grid] + linear u n + last(first(scales u n))

of the Laplace distribution that the latent is coded under; u = 2^-fineness is the unit of its grid.
Layers take arguments in periods; `scales` are the periods that a unit of 1 spans.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from dfm_flax.codec.context_model import OFFSETS
from dfm_flax.codec.pyramid import kernels
from dfm_flax.codec.pyramid.filter import filtered
from dfm_flax.codec.pyramid.geometry import Grids, Values
from dfm_flax.codec.pyramid.rate import laplace_bits
from dfm_flax.fourier import Additive
from dfm_flax.typing import AnyArray

NEWEST_START = 1  # of which new files are

NEIGHBORS = OFFSETS[:8]  # of a latent, (rows, columns) to its neighbors in its grid

SYNTHESIS = Additive(2)  # of both layers
_CONTEXT = Additive(1)
_SYNTHESIS_ARRAYS = ("scales", "first", "last", "linear", "bias")
_CONTEXT_ARRAYS = tuple(
    f"context_{name}" for name in ("scales", "first", "last", "linear", "levels")
)

Weights = dict[str, Any]  # arrays by the names of `Network.shapes`


@dataclass(frozen=True)
class Group:
    """Weights that share a step size: rows of one of the arrays."""

    name: str
    rows: Int[np.ndarray, "rows"]


@dataclass(frozen=True)
class Network:
    """The structure of both machines.

    Attributes:
      channels: of the image.
      grids: of the pyramid.
      first: exponent of the finest grid's cells.
      start: number of the weights that they start from, and of the units of their grids.
      features: between the layers of the synthesis.
      context_features: between the layers of the context.
    """

    channels: int
    grids: int
    first: int = 0
    start: int = NEWEST_START
    features: int = 12
    context_features: int = 8

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of each array of weights."""
        neighbors = len(NEIGHBORS)
        return {
            "scales": (self.grids,),
            "first": (SYNTHESIS.num_rows(self.grids), self.features),
            "last": (SYNTHESIS.num_rows(self.features) - 1, self.channels),
            "linear": (self.grids, self.channels),
            "bias": (self.channels,),
            "filter": (self.channels, 3, 3, self.channels),
            "context_scales": (neighbors,),
            "context_first": (_CONTEXT.num_rows(neighbors), self.context_features),
            "context_last": (_CONTEXT.num_rows(self.context_features) - 1, 2),
            "context_linear": (neighbors, 2),
            "context_levels": (self.grids, 2),
        }

    @property
    def fineness(self) -> tuple[int, ...]:
        """How often the unit of each grid is halved.

        A number of a coarse grid acts on many pixels, so that a small step of it is worth its bits.
        """
        exponents = range(self.first, self.first + self.grids)
        return tuple(max(0, exponent - 2) if self.start else 0 for exponent in exponents)

    @property
    def units(self) -> tuple[float, ...]:
        """What a unit of each grid is of that of a grid of single pixels."""
        return tuple(2.0**-halved for halved in self.fineness)

    @property
    def num_weights(self) -> int:
        return sum(map(math.prod, self.shapes.values()))

    @property
    def groups(self) -> list[Group]:
        """The groups in the order of a file; those of a layer are its frequencies."""
        frequencies = {
            "first": SYNTHESIS.groups(self.grids),
            "last": SYNTHESIS.groups(self.features)[1:],
            "context_first": _CONTEXT.groups(len(NEIGHBORS)),
            "context_last": _CONTEXT.groups(self.context_features)[1:],
        }
        return [
            Group(name, np.flatnonzero(of_rows == frequency))
            for name, shape in self.shapes.items()
            for of_rows in [frequencies.get(name, np.zeros(shape[0], int))]
            for frequency in np.unique(of_rows)
        ]

    def values(self, grids: Grids, gain: float | Float[AnyArray, ""]) -> Grids:
        """What the numbers of grids stand for."""
        return tuple(gain * unit * grid for unit, grid in zip(self.units, grids, strict=True))

    def picture(
        self, weights: Weights, values: Values
    ) -> Float[jax.Array, "channels height width"]:
        """The picture in [0, 1], from the series' values."""
        return self.sharpen(weights, jax.lax.optimization_barrier(self.draw(weights, values)))

    def draw(self, weights: Weights, values: Values) -> Float[jax.Array, "channels height width"]:
        """The picture in [0, 1] before the filter, from the series' values."""
        if kernels.chosen():
            return kernels.synthesis(values, tuple(weights[name] for name in _SYNTHESIS_ARRAYS))
        at = jnp.stack([array.ravel() for array in values])
        # Positions last, as the kernels of the series have them: turns cancel.
        hidden = SYNTHESIS((at * weights["scales"][:, None]).T, weights["first"])
        colors = SYNTHESIS(hidden, _with_constant(weights["last"], weights["bias"])).T
        colors = colors + jnp.matmul(weights["linear"].T, at)
        return colors.reshape(self.channels, *values[0].shape)

    def sharpen(
        self, weights: Weights, picture: Float[AnyArray, "channels height width"]
    ) -> Float[jax.Array, "channels height width"]:
        """The picture with the filter's part added."""
        return jnp.add(picture, filtered(picture, weights["filter"]))

    def bits(self, weights: Weights, grids: Grids) -> Float[jax.Array, ""]:
        """Bits of all numbers of the grids together."""
        numbers = jnp.concatenate([grid.ravel() for grid in grids])
        if kernels.chosen():
            arrays = tuple(weights[name] for name in _CONTEXT_ARRAYS)
            shapes = tuple(grid.shape for grid in grids)
            return kernels.bits(numbers, arrays, shapes, NEIGHBORS, self.fineness)
        return laplace_bits(numbers, *self.predict(weights, grids)).sum()

    def predict(
        self, weights: Weights, grids: Grids
    ) -> tuple[Float[jax.Array, "latents"], Float[jax.Array, "latents"]]:
        """Mean and log2 of the scale of each latent's distribution, grid after grid."""
        neighbors = jax.lax.optimization_barrier(neighbors_of(grids))
        return self.predict_from(weights, neighbors, tuple(grid.size for grid in grids))

    def predict_from(
        self,
        weights: Weights,
        neighbors: Float[AnyArray, "neighbors latents"],
        sizes: tuple[int, ...],
    ) -> tuple[Float[jax.Array, "latents"], Float[jax.Array, "latents"]]:
        """The same from the neighbors of each latent; `sizes` are the latents of each grid."""
        fineness = np.repeat(np.array(self.fineness, np.float32), sizes)
        units = np.exp2(-fineness)
        neighbors = neighbors * units
        scaled = neighbors * weights["context_scales"][:, None]
        hidden = _CONTEXT(scaled.T, weights["context_first"])
        out = _CONTEXT(hidden, _with_constant(weights["context_last"], jnp.zeros(2))).T
        levels = jnp.concatenate(
            [
                jnp.broadcast_to(level[:, None], (2, size))
                for level, size in zip(weights["context_levels"], sizes, strict=True)
            ],
            axis=1,
        )
        mean, log_scale = out + weights["context_linear"].T @ neighbors + levels
        return mean / units, log_scale + fineness


def neighbors_of(grids: Grids) -> Float[jax.Array, "neighbors latents"]:
    """The neighbors of each latent in its grid, grid after grid; 0 beyond its edges."""
    return jnp.concatenate([_neighbors(grid) for grid in grids], axis=1)


def _with_constant(
    coefficients: Float[AnyArray, "rows n"], constant: Float[AnyArray, "n"]
) -> Float[jax.Array, "rows+1 n"]:
    return jnp.concatenate([constant[None], coefficients])


def _neighbors(grid: Float[AnyArray, "height width"]) -> Float[jax.Array, "neighbors latents"]:
    height, width = grid.shape
    padded = jnp.pad(grid, ((2, 0), (2, 2)))
    return jnp.stack(
        [padded[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width].ravel() for dy, dx in NEIGHBORS]
    )
