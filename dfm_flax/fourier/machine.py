"""Deep Fourier Machines as Flax modules: compositions of low-frequency Fourier series."""

from collections.abc import Sequence
from typing import TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from dfm_flax.fourier.series import fourier_series, num_coefficients

_T = TypeVar("_T")


class FourierLayer(nn.Module):
    """One Fourier series R^m -> R^n, with a residual connection where m == n.

    Attributes:
      features: n, the number of outputs.
      max_frequency: F; frequencies are {0, .., F}^m. The thesis has F = 1.
      variance: variance of the Gaussian that the coefficients are drawn from.

    The one parameter, `coefficients` [2 (F+1)^m - 1, n], holds the cosine
    coefficients of all frequencies and the sine coefficients of all but k = 0.
    """

    features: int
    max_frequency: int = 1
    variance: float = 2e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., m], in periods, to [..., n]."""
        m = x.shape[-1]
        coefficients = self.param(
            "coefficients",
            nn.initializers.normal(self.variance**0.5),
            (num_coefficients(m, self.max_frequency), self.features),
        )
        y = fourier_series(x, coefficients, self.max_frequency)
        return x + y if m == self.features else y


class FourierMachine(nn.Module):
    """h = tanh(h_d o ... o h_1): positions in the unit square to colours in [-1, 1].

    Attributes:
      depth: number of layers d, at least 2.
      width: features between the layers.
      channels: outputs of the last layer: 1 for grey, 3 for RGB.
      variances: variance of the initial coefficients: one number for all layers, or
        three for the first layer, the hidden layers and the last layer.
      max_frequencies: largest frequency F, likewise one number or three.
    """

    depth: int
    width: int
    channels: int = 3
    variances: float | Sequence[float] = 2e-5
    max_frequencies: int | Sequence[int] = 1

    @nn.compact
    def __call__(self, positions: jax.Array) -> jax.Array:
        """Maps positions [..., 2] to colours [..., channels]."""
        widths = [self.width] * (self.depth - 1) + [self.channels]
        variances = per_layer(self.variances, self.depth)
        max_frequencies = per_layer(self.max_frequencies, self.depth)
        x = positions
        for i, (features, frequency, variance) in enumerate(
            zip(widths, max_frequencies, variances, strict=True)
        ):
            x = FourierLayer(features, frequency, variance, name=f"layer_{i}")(x)
        return jnp.tanh(x)


def per_layer(setting: _T | Sequence[_T], depth: int) -> list[_T]:
    """Spreads a setting, one value or (first, hidden, last), over the layers.

    Raises:
      ValueError: fewer than two layers, or a sequence of other than three values.
    """
    if depth < 2:
        raise ValueError(f"a machine has at least 2 layers, not {depth}")
    if not isinstance(setting, Sequence):
        return [setting] * depth
    if len(setting) != 3:
        raise ValueError(f"give one value or three (first, hidden, last layer), not {setting!r}")
    first, hidden, last = setting
    return [first] + [hidden] * (depth - 2) + [last]


def num_weights(
    depth: int, width: int, channels: int = 3, max_frequencies: int | Sequence[int] = 1
) -> int:
    """Exact number of learnable weights of a `FourierMachine`."""
    inputs = [2] + [width] * (depth - 1)
    outputs = [width] * (depth - 1) + [channels]
    return sum(
        num_coefficients(m, frequency) * n
        for m, n, frequency in zip(inputs, outputs, per_layer(max_frequencies, depth), strict=True)
    )
