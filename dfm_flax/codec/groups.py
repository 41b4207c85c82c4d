"""The groups of rows that share a step size, numbered through all layers of a machine."""

import itertools

import numpy as np
from jaxtyping import Int

from dfm_flax.fourier import FourierMachine


def row_groups(machine: FourierMachine) -> list[Int[np.ndarray, "_rows"]]:
    """The group of each row of coefficients, layer by layer, see `Basis.groups`."""
    firsts = itertools.accumulate(_counts(machine), initial=0)
    # The last of the firsts is the number of groups.
    return [
        first + basis.groups(m)
        for first, basis, m in zip(firsts, machine.bases, machine.widths, strict=False)
    ]


def num_groups(machine: FourierMachine) -> int:
    """Number of groups of a machine, computed without its rows."""
    return sum(_counts(machine))


def _counts(machine: FourierMachine) -> list[int]:
    layers = zip(machine.bases, machine.widths[:-1], strict=True)
    return [basis.num_groups(m) for basis, m in layers]
