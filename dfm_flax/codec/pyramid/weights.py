"""The weights of both machines in whole numbers: what they add to the start that all share."""

import functools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int32, Integer, UInt8

from dfm_flax.codec.context_model import FRACTION, ContextModel
from dfm_flax.codec.pyramid.network import Network, Weights
from dfm_flax.codec.pyramid.start import start_weights

MAX_STEP_CODE = FRACTION  # step sizes are 2^0 to 2^-14

_TYPICAL_STEP = 2.0**-7  # for the bits that weights will take


@dataclass(frozen=True, eq=False)
class CodedWeights:
    """Weights of a network.

    Attributes:
      network: their structure.
      step_codes: of the step size of each group, which is 2^-code.
      integers: of each group, what its weights add to the start, in step sizes.
    """

    network: Network
    step_codes: UInt8[np.ndarray, "groups"]
    integers: list[Int32[np.ndarray, "..."]]

    @classmethod
    def rounded(
        cls,
        weights: Weights,
        network: Network,
        step_codes: UInt8[np.ndarray, "groups"],
    ) -> "CodedWeights":
        """Weights to the nearest multiples of the step sizes from the start."""
        start = start_weights(network)
        integers = [
            _to_steps(np.asarray(weights[group.name]), start[group.name], group.rows, code)
            for group, code in zip(network.groups, step_codes, strict=True)
        ]
        return cls(network, step_codes, integers)

    @functools.cached_property
    def whole(self) -> dict[str, Int32[np.ndarray, "..."]]:
        """The weights in units of 2^-14, by the names of `Network.shapes`.

        Raises:
          ValueError: one is too large.
        """
        start = start_weights(self.network)
        weights = {name: array.astype(np.int64) for name, array in start.items()}
        for group, code, integers in zip(
            self.network.groups, self.step_codes, self.integers, strict=True
        ):
            weights[group.name][group.rows] += integers.astype(np.int64) << (FRACTION - int(code))
        if any(np.abs(array).max() >= 2**31 for array in weights.values()):
            raise ValueError("a weight is too large")
        return {name: array.astype(np.int32) for name, array in weights.items()}

    @property
    def floats(self) -> dict[str, Float32[np.ndarray, "..."]]:
        """The weights as `Network` takes them."""
        return {
            name: np.ldexp(array.astype(np.float32), -FRACTION)
            for name, array in self.whole.items()
        }

    @property
    def context_model(self) -> ContextModel:
        """The context in whole numbers.

        Raises:
          ValueError: a weight is too large.
        """
        names = ("scales", "first", "last", "linear", "levels")
        scales, first, last, linear, levels = (self.whole[f"context_{name}"] for name in names)
        return ContextModel(scales, first, last, linear, levels, self.network.fineness)


def _to_steps(
    weights: Float32[np.ndarray, "..."],
    start: Int32[np.ndarray, "..."],
    rows: Integer[np.ndarray, "rows"],
    code: int | np.uint8,
) -> Int32[np.ndarray, "..."]:
    from_start = weights[rows].astype(np.float64) - np.ldexp(start[rows].astype(float), -FRACTION)
    return np.rint(np.ldexp(from_start, int(code))).astype(np.int32)


def estimated_bits(network: Network, weights: Weights, start: Weights) -> Float[jax.Array, ""]:
    """Bits of what weights add to their start, about, while they are trained.

    Each group has a Laplace distribution of the scale b that fits it: log2(2 e b / step) bits a
    weight where b is large, and none where nothing is added.
    """
    bits = jnp.zeros(())
    for group in network.groups:
        added = jnp.abs(weights[group.name][group.rows] - start[group.name][group.rows])
        bits += added.size * jnp.log2(1 + 2 * math.e / _TYPICAL_STEP * jnp.mean(added))
    return bits
