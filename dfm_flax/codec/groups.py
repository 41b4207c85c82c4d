"""Which weights of a machine share a quantizer step and an entropy model."""

import numpy as np

from dfm_flax.fourier import FourierMachine, frequencies
from dfm_flax.fourier.machine import per_layer


def row_groups(machine: FourierMachine) -> list[np.ndarray]:
    """The group of each row of coefficients: an int array [rows] a layer.

    In a layer, the rows of all frequencies k with equal k_1 + .. + k_m are a group, cosines
    and sines together: coefficients of higher frequencies are smaller, and less depends on
    them. Groups are numbered through all layers, from the first layer's constants on.
    """
    groups, count = [], 0
    frequency = per_layer(machine.max_frequencies, machine.depth)
    additive = per_layer(machine.additive, machine.depth)
    for i, inputs in enumerate(machine.widths[:-1]):
        if additive[i]:  # of the frequencies f e_j
            sums = np.repeat(range(frequency[i] + 1), [1] + [inputs] * frequency[i])
        else:
            sums = frequencies(inputs, frequency[i]).sum(axis=1)
        groups.append(count + np.concatenate([sums, sums[1:]]))
        count += num_layer_groups(inputs, frequency[i], additive[i])
    return groups


def num_groups(machine: FourierMachine) -> int:
    """Number of groups of a machine, computed without its rows."""
    frequency = per_layer(machine.max_frequencies, machine.depth)
    additive = per_layer(machine.additive, machine.depth)
    return sum(
        num_layer_groups(inputs, frequency[i], additive[i])
        for i, inputs in enumerate(machine.widths[:-1])
    )


def num_layer_groups(inputs: int, max_frequency: int, additive: bool) -> int:
    return max_frequency * (1 if additive else inputs) + 1
