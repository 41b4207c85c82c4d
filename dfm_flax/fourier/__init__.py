"""Fourier series, layers and machines: the project's core."""

from dfm_flax.fourier.machine import FourierLayer, FourierMachine, num_weights, widest
from dfm_flax.fourier.series import (
    additive_fourier_series,
    additive_frequencies,
    fourier_series,
    frequencies,
    num_additive_coefficients,
    num_coefficients,
)

__all__ = [
    "FourierLayer",
    "FourierMachine",
    "additive_fourier_series",
    "additive_frequencies",
    "fourier_series",
    "frequencies",
    "num_additive_coefficients",
    "num_coefficients",
    "num_weights",
    "widest",
]
