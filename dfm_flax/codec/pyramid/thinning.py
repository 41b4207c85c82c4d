"""Fewer bits of a trained pyramid: its dearest numbers, one step nearer to zero.

A number is dear if it takes many bits for the pixels that it covers: one of a grid of coarse cells
is worth more than one of fine ones. What order they have is decided once; how many are taken, the
caller says.
"""

import numpy as np
from jaxtyping import Float64, Int32

from dfm_flax.codec import grids as coding
from dfm_flax.codec.context_model import ContextModel
from dfm_flax.codec.pyramid.geometry import Pyramid


class Thinning:
    """All thinnings of grids, from none taken to all that are not zero."""

    def __init__(
        self,
        grids: list[Int32[np.ndarray, "_height _width"]],
        pyramid: Pyramid,
        model: ContextModel,
    ):
        self._grids, self._shapes = grids, pyramid.shapes
        lengths = coding.lengths(grids, model)
        areas = [4.0**exponent for exponent in pyramid.exponents]
        worth: Float64[np.ndarray, latents] = np.concatenate(
            [length.ravel() / area for length, area in zip(lengths, areas, strict=True)]
        )
        self._flat = np.concatenate([grid.ravel() for grid in grids])
        taken = np.flatnonzero(self._flat)
        self._order = taken[np.argsort(-worth[taken], kind="stable")]

    @property
    def most(self) -> int:
        """How many can be taken."""
        return len(self._order)

    def at(self, count: int) -> list[Int32[np.ndarray, "_height _width"]]:
        """The grids with the `count` dearest numbers one step nearer to zero."""
        flat = self._flat.copy()
        which = self._order[:count]
        flat[which] -= np.sign(flat[which])
        ends = np.cumsum([height * width for height, width in self._shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]
