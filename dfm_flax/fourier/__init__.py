"""Fourier series, layers and machines: the project's core."""

from dfm_flax.fourier.bases.additive import Additive, additive_fourier_series
from dfm_flax.fourier.bases.full import Full, fourier_series
from dfm_flax.fourier.basis import BASES, Basis
from dfm_flax.fourier.machine import FourierLayer, FourierMachine, num_weights, widest
from dfm_flax.fourier.series import by_xla
from dfm_flax.fourier.vectors import (
    apply_machines,
    initial_deviations,
    split_vector,
    vector_size,
)

__all__ = [
    "BASES",
    "Additive",
    "Basis",
    "FourierLayer",
    "FourierMachine",
    "Full",
    "additive_fourier_series",
    "apply_machines",
    "by_xla",
    "fourier_series",
    "initial_deviations",
    "num_weights",
    "split_vector",
    "vector_size",
    "widest",
]
