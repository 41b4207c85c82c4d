"""The coefficients of a machine as one vector, for networks whose output is a machine."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from dfm_flax.fourier.machine import FourierMachine, initial_deviation, per_layer
from dfm_flax.fourier.series import num_additive_coefficients, num_coefficients


def vector_size(machine: FourierMachine) -> int:
    """Number of coefficients of a machine: its `num_weights`."""
    return sum(rows * features for rows, features in _shapes(machine))


def split_vector(machine: FourierMachine, vector: jax.Array) -> dict:
    """The parameters of a machine, as its `apply` takes them, from a vector [vector_size].

    Layer after layer, each as its coefficients [rows, features] row by row.
    """
    shapes = _shapes(machine)
    ends = list(itertools.accumulate(rows * features for rows, features in shapes))
    parts = jnp.split(vector, ends[:-1])
    return {
        f"layer_{i}": {"coefficients": part.reshape(shape)}
        for i, (part, shape) in enumerate(zip(parts, shapes, strict=True))
    }


def initial_deviations(machine: FourierMachine) -> np.ndarray:
    """Standard deviation of each initial coefficient of a machine, as a vector: [vector_size]."""
    layers = []
    variances = per_layer(machine.variances, machine.depth)
    frequencies = per_layer(machine.max_frequencies, machine.depth)
    additive = per_layer(machine.additive, machine.depth)
    for i, (m, features) in enumerate(itertools.pairwise(machine.widths)):
        deviation = initial_deviation(
            m, frequencies[i], variances[i], additive[i], machine.normalize
        )
        layers.append(np.repeat(deviation, features))
    return np.concatenate(layers).astype(np.float32)


def apply_machines(
    machine: FourierMachine, coefficients: jax.Array, positions: jax.Array
) -> jax.Array:
    """Many machines of one structure at the same positions.

    Args:
      machine: the structure; its own parameters play no part.
      coefficients: [B, vector_size], a machine each.
      positions: [P, 2] in the unit square.

    Returns:
      Colors [B, P, channels] in [-1, 1].
    """

    def apply(vector):
        return machine.apply({"params": split_vector(machine, vector)}, positions)

    return jax.vmap(apply)(coefficients)


def _shapes(machine: FourierMachine) -> list[tuple[int, int]]:
    """(rows, features) of the coefficients of each layer."""
    frequencies = per_layer(machine.max_frequencies, machine.depth)
    additive = per_layer(machine.additive, machine.depth)
    rows = [num_additive_coefficients if flag else num_coefficients for flag in additive]
    sizes = enumerate(itertools.pairwise(machine.widths))
    return [(rows[i](m, frequencies[i]), n) for i, (m, n) in sizes]
