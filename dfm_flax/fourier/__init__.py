"""Fourier series, layers and machines: the project's core."""

from dfm_flax.fourier.machine import FourierLayer, FourierMachine, num_weights
from dfm_flax.fourier.series import fourier_series, frequencies, num_coefficients

__all__ = [
    "FourierLayer",
    "FourierMachine",
    "fourier_series",
    "frequencies",
    "num_coefficients",
    "num_weights",
]
