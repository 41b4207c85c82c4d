"""Deep Fourier Machines as Flax modules: compositions of low-frequency Fourier series."""

import itertools
import math
from collections.abc import Sequence
from typing import TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dfm_flax.fourier.series import (
    additive_fourier_series,
    additive_frequencies,
    fourier_series,
    frequencies,
    num_additive_coefficients,
    num_coefficients,
)

_T = TypeVar("_T")

_MAX_LAYER = 2**31 - 1  # weights: XLA counts with 32 bits


class FourierLayer(nn.Module):
    """One Fourier series R^m -> R^n, with a residual connection where m == n.

    Attributes:
      features: n, the number of outputs.
      max_frequency: F; frequencies are {0, .., F}^m. The thesis has F = 1.
      variance: variance of the Gaussian that the coefficients are drawn from.
      additive: keeps only the frequencies on the axes, see `additive_fourier_series`.
      normalize: makes `variance` that of an output, not of a coefficient: coefficients are
        drawn with a standard deviation proportional to (1 + |k|)^(-1/2), such that the
        outputs of a layer have `variance` at a random argument, whatever m and F are.
      residual: adds the argument where m == n.

    The one parameter, `coefficients`, holds the cosine coefficients of all frequencies and
    the sine coefficients of all but k = 0: [2 (F+1)^m - 1, n], or [2 m F + 1, n] if additive.
    """

    features: int
    max_frequency: int = 1
    variance: float = 2e-5
    additive: bool = False
    normalize: bool = False
    residual: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps [..., m], in periods, to [..., n]."""
        m = x.shape[-1]
        series = additive_fourier_series if self.additive else fourier_series
        coefficients = self.param("coefficients", self._draw, m)
        y = series(x, coefficients, self.max_frequency)
        return x + y if self.residual and m == self.features else y

    def _draw(self, rng: jax.Array, m: int) -> jax.Array:
        deviation = initial_deviation(
            m, self.max_frequency, self.variance, self.additive, self.normalize
        )
        normal = jax.random.normal(rng, (len(deviation), self.features))
        return normal * deviation[:, None].astype(np.float32)


def initial_deviation(
    m: int, max_frequency: int, variance: float, additive: bool, normalize: bool
) -> np.ndarray:
    """Standard deviation of the initial coefficients of a `FourierLayer`, row by row."""
    k = (additive_frequencies if additive else frequencies)(m, max_frequency)
    size = np.linalg.norm(k, axis=-1)
    size = np.concatenate([size, size[1:]])
    if not normalize:
        return np.full(len(size), variance**0.5)
    decay = (1 + size) ** -0.5
    # cos^2 and sin^2 are 1/2 on average, but for the constant.
    power = np.sum(decay**2 * np.where(size > 0, 0.5, 1))
    return decay * (variance / power) ** 0.5


class FourierMachine(nn.Module):
    """h = tanh(h_d o ... o h_1): positions in the unit square to colors in [-1, 1].

    With the defaults it is the thesis's machine. Settings that make no sense raise ValueError.

    Attributes:
      depth: number of layers d, at least 2.
      width: features between the layers: one number, or depth - 1 of them.
      channels: outputs of the last layer: 1 for gray, 3 for RGB.
      variances: of the initial coefficients: one number for all layers, or three for the
        first layer, the hidden layers and the last layer.
      max_frequencies: largest frequency F, likewise one number or three.
      additive: see `FourierLayer`, likewise one value or three.
      normalize, residual: see `FourierLayer`, for all layers.
      extent: the part of a period that the unit square spans. The thesis has 1, which
        makes the left edge of every image the continuation of its right edge.
    """

    depth: int
    width: int | Sequence[int]
    channels: int = 3
    variances: float | Sequence[float] = 2e-5
    max_frequencies: int | Sequence[int] = 1
    additive: bool | Sequence[bool] = False
    normalize: bool = False
    residual: bool = True
    extent: float = 1.0

    def __post_init__(self):
        frequencies = per_layer(self.max_frequencies, self.depth)
        variances = per_layer(self.variances, self.depth)
        if min(*layer_widths(self.depth, self.width, self.channels), *frequencies) < 1:
            raise ValueError("width, channels and max_frequencies are at least 1")
        if not all(0 <= variance < math.inf for variance in variances):
            raise ValueError(f"variances={self.variances}: they cannot be negative")
        if not 0 < self.extent < math.inf:
            raise ValueError(f"extent={self.extent} is not above 0")
        sizes = _layer_sizes(
            self.depth, self.width, self.channels, self.max_frequencies, self.additive
        )
        if max(sizes) > _MAX_LAYER:
            raise ValueError(
                f"a layer would have {max(sizes):,} weights; use a smaller width or max_frequencies"
            )
        super().__post_init__()

    @property
    def widths(self) -> list[int]:
        """Arguments of each layer, and the channels: [depth + 1]."""
        return layer_widths(self.depth, self.width, self.channels)

    @nn.compact
    def __call__(self, positions: jax.Array) -> jax.Array:
        """Maps positions [..., 2] to colors [..., channels]."""
        max_frequencies = per_layer(self.max_frequencies, self.depth)
        variances = per_layer(self.variances, self.depth)
        additive = per_layer(self.additive, self.depth)
        x = self.extent * positions
        for i, n in enumerate(self.widths[1:]):
            x = FourierLayer(
                n,
                max_frequencies[i],
                variances[i],
                additive[i],
                self.normalize,
                self.residual,
                name=f"layer_{i}",
            )(x)
        return jnp.tanh(x)


def per_layer(setting: _T | Sequence[_T], depth: int) -> list[_T]:
    """Spreads a setting, one value (or a list of one) or (first, hidden, last), over the layers.

    Raises:
      ValueError: fewer than two layers, or a sequence of other than one or three values.
    """
    if depth < 2:
        raise ValueError(f"a machine has at least 2 layers, not {depth}")
    if not isinstance(setting, Sequence):
        return [setting] * depth
    if len(setting) == 1:
        return list(setting) * depth
    if len(setting) != 3:
        raise ValueError(f"give one value or three (first, hidden, last layer), not {setting!r}")
    first, hidden, last = setting
    return [first] + [hidden] * (depth - 2) + [last]


def layer_widths(depth: int, width: int | Sequence[int], channels: int) -> list[int]:
    """Arguments of each layer of a machine, and its channels: [depth + 1].

    Raises:
      ValueError: neither one width nor depth - 1 of them.
    """
    between = list(width) if isinstance(width, Sequence) else [width] * (depth - 1)
    if len(between) != depth - 1:
        raise ValueError(f"width={width!r}: a machine of depth {depth} has one, or {depth - 1}")
    return [2, *between, channels]


def num_weights(
    depth: int,
    width: int | Sequence[int],
    channels: int = 3,
    max_frequencies: int | Sequence[int] = 1,
    additive: bool | Sequence[bool] = False,
) -> int:
    """Exact number of learnable weights of a `FourierMachine`."""
    return sum(_layer_sizes(depth, width, channels, max_frequencies, additive))


def _layer_sizes(
    depth: int,
    width: int | Sequence[int],
    channels: int,
    max_frequencies: int | Sequence[int],
    additive: bool | Sequence[bool],
) -> list[int]:
    widths = layer_widths(depth, width, channels)
    frequency = per_layer(max_frequencies, depth)
    rows = [
        (num_additive_coefficients if flag else num_coefficients)(widths[i], frequency[i])
        for i, flag in enumerate(per_layer(additive, depth))
    ]
    return [rows[i] * widths[i + 1] for i in range(depth)]


def widest(
    weights: int,
    depth: int,
    channels: int = 3,
    max_frequencies: int | Sequence[int] = 1,
    additive: bool | Sequence[bool] = False,
) -> int:
    """The largest width of a `FourierMachine` with at most `weights` weights.

    Raises:
      ValueError: even a width of 1 has more.
    """
    counts = (
        num_weights(depth, width, channels, max_frequencies, additive)
        for width in itertools.count(1)
    )
    width = sum(1 for _ in itertools.takewhile(lambda count: count <= weights, counts))
    if not width:
        raise ValueError(f"no machine of depth {depth} has only {weights} weights")
    return width
