"""Fourier series, layers and machines: the project's core."""

from dfm_flax.fourier.machine import FourierLayer, FourierMachine, num_weights
from dfm_flax.fourier.series import (
    additive_fourier_series,
    additive_frequencies,
    fourier_series,
    frequencies,
    num_additive_coefficients,
    num_coefficients,
)
from dfm_flax.fourier.vectors import (
    apply_machines,
    initial_deviations,
    split_vector,
    vector_size,
)

__all__ = [
    "FourierLayer",
    "FourierMachine",
    "additive_fourier_series",
    "additive_frequencies",
    "apply_machines",
    "fourier_series",
    "frequencies",
    "initial_deviations",
    "num_additive_coefficients",
    "num_coefficients",
    "num_weights",
    "split_vector",
    "vector_size",
]
