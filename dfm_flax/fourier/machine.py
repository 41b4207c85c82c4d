"""Deep Fourier Machines as Flax modules: compositions of low-frequency Fourier series."""

import itertools
import math
from collections.abc import Sequence
from typing import TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, PRNGKeyArray

from dfm_flax.fourier.bases.full import Full
from dfm_flax.fourier.basis import Basis, make_bases
from dfm_flax.typing import AnyArray

_T = TypeVar("_T")

_MAX_LAYER = 2**31 - 1  # weights: XLA counts with 32 bits


class FourierLayer(nn.Module):
    """One Fourier series R^m -> R^n, with a residual connection where m == n.

    A size or variance that makes no sense raises ValueError.

    Attributes:
      features: n, the number of outputs.
      basis: the frequencies of the series. The thesis has all of {0, 1}^m.
      variance: variance of the Gaussian that the coefficients are drawn from.
      normalize: makes `variance` that of an output, not of a coefficient: coefficients are
        drawn with a standard deviation proportional to (1 + |k|)^(-1/2), such that the
        outputs of a layer have `variance` at a random argument, whatever m and F are.
      residual: adds the argument where m == n.

    The one parameter, `coefficients` [rows, n], holds the cosine coefficients of all frequencies
    and the sine coefficients of all but k = 0.
    """

    features: int
    basis: Basis = Full(1)
    variance: float = 2e-5
    normalize: bool = False
    residual: bool = True

    def __post_init__(self) -> None:
        if self.features < 1:
            raise ValueError(f"a layer has at least 1 feature, not {self.features}")
        _check_variances([self.variance])
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "*points m"]
    ) -> Float[jax.Array, "*points {self.features}"]:
        """The series at `x`, which is in periods."""
        m = x.shape[-1]
        coefficients = self.param("coefficients", self._draw, m)
        y = self.basis(x, coefficients)
        return jnp.add(x, y) if self.residual and m == self.features else y

    def _draw(self, rng: PRNGKeyArray, m: int) -> Float32[jax.Array, "rows {self.features}"]:
        check_layer(self.basis, m, self.features)
        deviation = self.basis.initial_deviations(m, self.variance, self.normalize)
        normal = jax.random.normal(rng, (len(deviation), self.features))
        return normal * deviation[:, None].astype(np.float32)


class FourierMachine(nn.Module):
    """h = tanh(h_d o ... o h_1): positions in the unit square to colors in [-1, 1].

    With the defaults it is the thesis's machine. Settings that make no sense raise ValueError.
    A machine may have other arguments than the two coordinates of a position, see `arguments`.

    Attributes:
      depth: number of layers d, at least 2.
      width: features between the layers: one number, or depth - 1 of them.
      channels: outputs of the last layer: 1 for gray, 3 for RGB.
      basis: of the layers' series: a name of `BASES`, an import path "module:Name" or a
        `Basis`; one for all layers, or three for the first layer, the hidden layers and the
        last layer.
      max_frequencies: largest frequency F of bases that are given by name, likewise one number
        or three.
      variances: of the initial coefficients, likewise.
      normalize, residual: see `FourierLayer`, for all layers.
      extent: the part of a period that the unit square spans. The thesis has 1, which
        makes the left edge of every image the continuation of its right edge.
      arguments: numbers at each position: 2 where the position itself is all.
    """

    depth: int
    width: int | Sequence[int]
    channels: int = 3
    basis: str | Basis | Sequence[str | Basis] = "full"
    max_frequencies: int | Sequence[int] = 1
    variances: float | Sequence[float] = 2e-5
    normalize: bool = False
    residual: bool = True
    extent: float = 1.0
    arguments: int = 2

    def __post_init__(self) -> None:
        widths = self.widths
        if min(*widths, *per_layer(self.max_frequencies, self.depth)) < 1:
            raise ValueError("arguments, width, channels and max_frequencies are at least 1")
        _check_variances(per_layer(self.variances, self.depth))
        if not 0 < self.extent < math.inf:
            raise ValueError(f"extent={self.extent} is not above 0")
        for basis, (m, features) in zip(self.bases, itertools.pairwise(widths), strict=True):
            check_layer(basis, m, features)
        super().__post_init__()

    @property
    def widths(self) -> list[int]:
        """Arguments of each layer, and the channels: [depth + 1]."""
        return layer_widths(self.depth, self.width, self.channels, self.arguments)

    @property
    def bases(self) -> list[Basis]:
        """The basis of each layer: [depth]."""
        return layer_bases(self.depth, self.basis, self.max_frequencies)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape of the coefficients of each layer: (rows, features) [depth]."""
        sizes = zip(self.bases, itertools.pairwise(self.widths), strict=True)
        return [(basis.num_rows(m), features) for basis, (m, features) in sizes]

    @nn.compact
    def __call__(
        self, positions: Float[AnyArray, "*points coordinates"]
    ) -> Float[jax.Array, "*points {self.channels}"]:
        """The colors at positions.

        Raises:
          ValueError: the positions have other than `arguments` coordinates.
        """
        if positions.shape[-1] != self.arguments:
            raise ValueError(
                f"positions have {self.arguments} coordinates, not the shape {positions.shape}"
            )
        bases = self.bases
        variances = per_layer(self.variances, self.depth)
        x = self.extent * positions
        for i, n in enumerate(self.widths[1:]):
            x = FourierLayer(
                n, bases[i], variances[i], self.normalize, self.residual, name=f"layer_{i}"
            )(x)
        return jnp.tanh(x)


def per_layer(setting: _T | Sequence[_T], depth: int) -> list[_T]:
    """Spreads a setting, one value (or a list of one) or (first, hidden, last), over the layers.

    Raises:
      ValueError: fewer than two layers, or a sequence of other than one or three values.
    """
    if depth < 2:
        raise ValueError(f"a machine has at least 2 layers, not {depth}")
    if isinstance(setting, str) or not isinstance(setting, Sequence):
        return [setting] * depth
    if len(setting) == 1:
        return list(setting) * depth
    if len(setting) != 3:
        raise ValueError(f"give one value or three (first, hidden, last layer), not {setting!r}")
    first, hidden, last = setting
    return [first] + [hidden] * (depth - 2) + [last]


def layer_widths(
    depth: int, width: int | Sequence[int], channels: int, arguments: int = 2
) -> list[int]:
    """Arguments of each layer of a machine, and its channels: [depth + 1].

    Raises:
      ValueError: neither one width nor depth - 1 of them.
    """
    between = list(width) if isinstance(width, Sequence) else [width] * (depth - 1)
    if len(between) != depth - 1:
        raise ValueError(f"width={width!r}: a machine of depth {depth} has one, or {depth - 1}")
    return [arguments, *between, channels]


def layer_bases(
    depth: int, basis: str | Basis | Sequence[str | Basis], max_frequencies: int | Sequence[int]
) -> list[Basis]:
    """The basis of each layer of a machine: [depth].

    Raises:
      UsageError: there is no basis of a name.
      ValueError: neither one setting nor three, or a basis cannot have its F.
    """
    return make_bases(per_layer(basis, depth), per_layer(max_frequencies, depth))


def num_weights(
    depth: int,
    width: int | Sequence[int],
    channels: int = 3,
    basis: str | Basis | Sequence[str | Basis] = "full",
    max_frequencies: int | Sequence[int] = 1,
) -> int:
    """Exact number of learnable weights of a `FourierMachine`."""
    bases = layer_bases(depth, basis, max_frequencies)
    sizes = itertools.pairwise(layer_widths(depth, width, channels))
    return sum(basis.num_rows(m) * n for basis, (m, n) in zip(bases, sizes, strict=True))


def widest(
    weights: int,
    depth: int,
    channels: int = 3,
    basis: str | Basis | Sequence[str | Basis] = "full",
    max_frequencies: int | Sequence[int] = 1,
) -> int:
    """The largest width of a `FourierMachine` with at most `weights` weights.

    Raises:
      ValueError: even a width of 1 has more.
    """
    counts = (
        num_weights(depth, width, channels, basis, max_frequencies) for width in itertools.count(1)
    )
    width = sum(1 for _ in itertools.takewhile(lambda count: count <= weights, counts))
    if not width:
        raise ValueError(f"no machine of depth {depth} has only {weights} weights")
    return width


def check_layer(basis: Basis, m: int, features: int) -> None:
    """Raises ValueError if a layer of m arguments has more weights than can be counted."""
    weights = basis.num_rows(m) * features
    if weights > _MAX_LAYER:
        raise ValueError(
            f"a layer of {m} arguments and {features} features would have {weights:,} weights; "
            "use a smaller width or max_frequencies"
        )


def _check_variances(variances: Sequence[float]) -> None:
    if not all(0 <= variance < math.inf for variance in variances):
        raise ValueError(f"variances={variances}: they cannot be negative")
