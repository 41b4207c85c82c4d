"""The last words on a trained pyramid: step sizes of its weights, and the file that they make."""

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32, UInt8

from dfm_flax.codec import entropy
from dfm_flax.codec import grids as coding
from dfm_flax.codec.pyramid.geometry import Grids, Matrices, Pyramid, values_at
from dfm_flax.codec.pyramid.image import PyramidImage, gain_of
from dfm_flax.codec.pyramid.network import Network, Weights
from dfm_flax.codec.pyramid.training import Trained
from dfm_flax.codec.pyramid.weights import MAX_STEP_CODE, CodedWeights
from dfm_flax.data.images import Image
from dfm_flax.typing import AnyArray

_SWEEPS = 3


class Rounding:
    """Chooses the step size of each group so that D + lambda R of the file is least.

    Attributes:
      trained: what is rounded.

    From the best step that all groups can have in common, they are taken one after the other, each
    to the next finer or coarser step as long as that is better. (From steps that are too coarse for
    an image that few bits are missing of, chance decides what is better: the errors of the groups
    are large and hide each other.)
    """

    def __init__(
        self,
        image: Image,
        network: Network,
        pyramid: Pyramid,
        gain_code: int,
        trained: Trained,
    ):
        self._image, self._network, self._pyramid = image, network, pyramid
        self._gain_code, self.trained = gain_code, trained
        self._grids = [np.asarray(grid, np.int32) for grid in trained.grids]
        gain = gain_of(gain_code)
        self._numbers = network.values(
            tuple(jnp.asarray(grid, jnp.float32) for grid in self._grids), gain
        )
        self._colors = jnp.asarray(image.pixels.transpose(2, 0, 1), jnp.float32)
        self._matrices = jax.device_put(pyramid.at_pixels())
        self._lengths: dict[bytes, float] = {}
        self._errors: dict[bytes, float] = {}

    def of(self, grids: Sequence[Int32[np.ndarray, "_height _width"]]) -> "Rounding":
        """The same machines over other grids."""
        trained = dataclasses.replace(self.trained, grids=tuple(grids))
        return Rounding(self._image, self._network, self._pyramid, self._gain_code, trained)

    def best(self, worth: float = 1.0, first: int | None = None) -> PyramidImage:
        """The image of the step sizes that are found, for `worth` times the lambda of training.

        Args:
          first: code of all steps to look from; None for the best.
        """
        common = range(MAX_STEP_CODE + 1) if first is None else [first]
        starts = [np.full(len(self._network.groups), code, np.uint8) for code in common]
        codes = min(starts, key=lambda codes: self._cost(codes, worth))
        least = self._cost(codes, worth)
        for _ in range(_SWEEPS):
            before = least
            for group in range(len(codes)):
                for change in (-1, 1):
                    while 0 <= int(codes[group]) + change <= MAX_STEP_CODE:
                        trial = codes.copy()
                        trial[group] = int(codes[group]) + change
                        cost = self._cost(trial, worth)
                        if cost >= least:
                            break
                        codes, least = trial, cost
            if least == before:
                break
        return PyramidImage(
            self._image.levels, self._pyramid, self._gain_code, self._at(codes), self._grids
        )

    def _at(self, codes: UInt8[np.ndarray, "groups"]) -> CodedWeights:
        return CodedWeights.rounded(self.trained.weights, self._network, codes)

    def _cost(self, codes: UInt8[np.ndarray, "groups"], worth: float) -> float:
        weights = self._at(codes)
        try:
            shape, widths = entropy.best_models(weights.integers)
        except ValueError:  # an integer is too large
            return math.inf
        # Not of words: one group alone often saves none.
        bits = self._length(weights) + sum(
            entropy.bits(shape, width, integers)
            for width, integers in zip(widths, weights.integers, strict=True)
        )
        pixels = self._pyramid.height * self._pyramid.width
        if math.isinf(worth):
            return bits
        return self._error(weights) + worth * self.trained.trade_off * bits / pixels

    def _length(self, weights: CodedWeights) -> float:
        """Bits of the grids, which follow from the context alone."""
        key = self._key(weights, context=True)
        if key not in self._lengths:
            try:
                lengths = coding.lengths(self._grids, weights.context_model)
                self._lengths[key] = sum(float(length.sum()) for length in lengths)
            except ValueError:  # a weight is too large
                self._lengths[key] = math.inf
        return self._lengths[key]

    def _error(self, weights: CodedWeights) -> float:
        """Mean squared error, which follows from the synthesis alone."""
        key = self._key(weights, context=False)
        if key not in self._errors:
            error = _error(
                self._network, weights.floats, self._numbers, self._matrices, self._colors
            )
            self._errors[key] = float(error)
        return self._errors[key]

    def _key(self, weights: CodedWeights, context: bool) -> bytes:
        return bytes(
            code
            for group, code in zip(self._network.groups, weights.step_codes.tolist(), strict=True)
            if group.name.startswith("context") == context
        )


@functools.partial(jax.jit, static_argnums=0)
def _error(
    network: Network,
    weights: Weights,
    numbers: Grids,
    matrices: Matrices,
    colors: Float[AnyArray, "channels height width"],
) -> Float[jax.Array, ""]:
    picture = network.picture(weights, values_at(numbers, matrices))
    return jnp.mean((jnp.clip(picture, 0, 1) - colors) ** 2)
