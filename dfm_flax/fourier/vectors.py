"""The coefficients of a machine as one vector, for networks whose output is a machine."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from dfm_flax.fourier.machine import FourierMachine, per_layer
from dfm_flax.typing import AnyArray

_Params = dict[str, dict[str, Float[jax.Array, "_rows _features"]]]


def vector_size(machine: FourierMachine) -> int:
    """Number of coefficients of a machine: its `num_weights`."""
    return sum(map(math.prod, machine.shapes))


def split_vector(machine: FourierMachine, vector: Float[AnyArray, "weights"]) -> _Params:
    """The parameters of a machine, as its `apply` takes them, from a vector.

    Layer after layer, each as its coefficients [rows, features] row by row.
    """
    shapes = machine.shapes
    ends = list(itertools.accumulate(map(math.prod, shapes)))
    parts = jnp.split(vector, ends[:-1])
    return {
        f"layer_{i}": {"coefficients": part.reshape(shape)}
        for i, (part, shape) in enumerate(zip(parts, shapes, strict=True))
    }


def initial_deviations(machine: FourierMachine) -> Float32[np.ndarray, "weights"]:
    """Standard deviation of each initial coefficient of a machine, as a vector."""
    variances = per_layer(machine.variances, machine.depth)
    layers = [
        np.repeat(basis.initial_deviations(m, variance, machine.normalize), features)
        for basis, variance, (m, features) in zip(
            machine.bases, variances, itertools.pairwise(machine.widths), strict=True
        )
    ]
    return np.concatenate(layers).astype(np.float32)


def apply_machines(
    machine: FourierMachine,
    coefficients: Float[AnyArray, "machines weights"],
    positions: Float[AnyArray, "points 2"],
) -> Float[jax.Array, "machines points {machine.channels}"]:
    """Many machines of one structure at the same positions.

    Args:
      machine: the structure; its own parameters play no part.
      coefficients: a vector of `vector_size` each.
      positions: in the unit square.

    Returns:
      Colors in [-1, 1].
    """

    def apply(vector: Float[AnyArray, "weights"]) -> Float[jax.Array, "points channels"]:
        params = split_vector(machine, vector)
        colors: Any = machine.apply({"params": params}, positions)
        return colors

    return jax.vmap(apply)(coefficients)
