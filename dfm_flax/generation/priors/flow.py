"""A coupling flow with an exact density, which knows classes; its first use takes a minute."""

import functools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float, Float64, Int, PRNGKeyArray

from dfm_flax.generation.learned_prior import Classes, LearnedPrior
from dfm_flax.training.losses import Scalar
from dfm_flax.typing import AnyArray

_LAYERS = 8
_FEATURES = 128
_LOG_SCALE = 1.5  # bound of what a layer stretches an entry by

_Units = Float[jax.Array, "batch latent"]


class Couplings(nn.Module):
    """Affine couplings (Dinh et al. 2017, arXiv:1605.08803), from latents to noise and back.

    A layer scales and shifts a half of the entries by what a perceptron makes of the other half
    and the class. At the start it does nothing.
    """

    size: int

    def setup(self) -> None:
        self.perceptrons = [
            _Perceptron(2 * (self.size - self.size // 2), name=f"layer_{i}") for i in range(_LAYERS)
        ]

    def __call__(
        self, units: Float[AnyArray, "batch latent"], classes: Classes
    ) -> tuple[_Units, Float[jax.Array, "batch"]]:
        """Noise of latents, and the logarithms of the determinants of the map's derivatives."""
        x, log_determinants = jnp.asarray(units), jnp.zeros(len(units))
        for i in range(_LAYERS):
            x = x[:, _order(self.size, i)]
            log_scale, shift = self._scale_and_shift(i, x, classes)
            moved = x[:, self.size // 2 :] * jnp.exp(log_scale) + shift
            x = jnp.concatenate([x[:, : self.size // 2], moved], axis=1)
            log_determinants += jnp.sum(log_scale, axis=1)
        return x, log_determinants

    def inverse(self, noise: Float[AnyArray, "batch latent"], classes: Classes) -> _Units:
        """Latents of noise."""
        x = jnp.asarray(noise)
        for i in reversed(range(_LAYERS)):
            log_scale, shift = self._scale_and_shift(i, x, classes)
            moved = (x[:, self.size // 2 :] - shift) * jnp.exp(-log_scale)
            x = jnp.concatenate([x[:, : self.size // 2], moved], axis=1)
            x = x[:, np.argsort(_order(self.size, i))]
        return x

    def _scale_and_shift(
        self, i: int, x: _Units, classes: Classes
    ) -> tuple[Float[jax.Array, "batch half"], Float[jax.Array, "batch half"]]:
        outputs = self.perceptrons[i](jnp.concatenate([x[:, : self.size // 2], classes], axis=1))
        log_scale, shift = jnp.split(outputs, 2, axis=1)
        return _LOG_SCALE * jnp.tanh(log_scale / _LOG_SCALE), shift


class _Perceptron(nn.Module):
    outputs: int

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "batch inputs"]
    ) -> Float[jax.Array, "batch {self.outputs}"]:
        for _ in range(2):
            x = nn.silu(nn.Dense(_FEATURES)(x))
        return nn.Dense(self.outputs, kernel_init=nn.initializers.zeros_init())(x)


def _order(size: int, layer: int) -> Int[np.ndarray, "{size}"]:
    """The order of entries before a layer: of two layers in turn each moves what the other keeps.

    With an odd number of entries one is moved by both.
    """
    if layer % 2:
        return np.roll(np.arange(size), size // 2 + size % 2)
    return np.random.default_rng(layer).permutation(size)


class Flow(LearnedPrior):
    """A coupling flow in the units of the latents' principal axes; see `LearnedPrior`."""

    name: ClassVar[str] = "flow"
    num_steps: ClassVar[int] = 2_000

    @staticmethod
    def network(size: int) -> nn.Module:
        return Couplings(size)

    @staticmethod
    def loss(
        network: nn.Module,
        params: Any,
        units: Float[AnyArray, "batch latent"],
        classes: Classes,
        rng: PRNGKeyArray,
    ) -> Scalar:
        """The negative logarithm of the density, but for a constant."""
        return -jnp.mean(_log_density(network, params, units, classes))

    def from_noise(self, noise: Float[AnyArray, "batch latent"], classes: Classes) -> _Units:
        return _inverse(self.network(len(self.mean)), self.params, noise, classes)

    def log_prob(
        self, latents: Float[np.ndarray, "latents latent"]
    ) -> Float64[np.ndarray, "latents"]:
        size = len(self.mean)
        units = np.linalg.solve(self.axes, (np.asarray(latents, np.float64) - self.mean).T).T
        constant = np.linalg.slogdet(self.axes)[1] + size / 2 * np.log(2 * np.pi)
        logs = []
        with jax.default_matmul_precision("highest"):
            for label in np.eye(len(self.weights), dtype=np.float32):
                classes = np.broadcast_to(label, (len(units), len(label)))
                log = _log_density(
                    self.network(size), self.params, units.astype(np.float32), classes
                )
                logs.append(np.asarray(log, np.float64))
        return scipy.special.logsumexp(logs, axis=0, b=self.weights[:, None]) - constant


@functools.partial(jax.jit, static_argnums=0)
def _log_density(
    network: nn.Module, params: Any, units: Float[AnyArray, "batch latent"], classes: Classes
) -> Float[jax.Array, "batch"]:
    mapped: Any = network.apply({"params": params}, units, classes)
    noise, log_determinants = mapped
    return log_determinants - jnp.sum(noise**2, axis=1) / 2


@functools.partial(jax.jit, static_argnums=0)
def _inverse(
    network: nn.Module, params: Any, noise: Float[AnyArray, "batch latent"], classes: Classes
) -> _Units:
    units: Any = network.apply({"params": params}, noise, classes, method="inverse")
    return units
