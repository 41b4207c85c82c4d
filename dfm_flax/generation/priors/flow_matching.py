"""A flow along learned velocities, which knows classes; its first use takes minutes."""

import functools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray

from dfm_flax.generation.learned_prior import Classes, LearnedPrior
from dfm_flax.training.losses import Scalar
from dfm_flax.typing import AnyArray, Count

_FEATURES = 256
_BLOCKS = 2
_HARMONICS = 8  # of the time
_SAMPLING_STEPS = 25  # of Heun's method, two velocities each

_Units = Float[jax.Array, "batch latent"]
_Times = Float[AnyArray, "batch"]


class Velocity(nn.Module):
    """The velocity of x_t = (1 - t) noise + t latent: a residual network.

    What it adds to is the velocity between two draws from N(0, I), (2t - 1) x / (t^2 + (1 - t)^2),
    and at the start it adds nothing: the flow then ends at N(0, I).
    """

    size: int

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "batch latent"], classes: Classes, times: _Times | None = None
    ) -> _Units:
        x = jnp.asarray(x)
        times = jnp.zeros(len(x)) if times is None else jnp.asarray(times)
        phases = jnp.pi * times[:, None] * jnp.arange(_HARMONICS)
        about = jnp.concatenate([jnp.cos(phases), classes], axis=1)
        features = nn.Dense(_FEATURES)(x) + nn.Dense(_FEATURES)(about)
        for _ in range(_BLOCKS):
            inner = nn.Dense(_FEATURES)(nn.silu(nn.LayerNorm()(features)))
            zeros = nn.initializers.zeros_init()
            features += nn.Dense(_FEATURES, kernel_init=zeros)(nn.silu(inner))
        last = nn.Dense(self.size, kernel_init=nn.initializers.zeros_init())
        added = last(nn.silu(nn.LayerNorm()(features)))
        variances = (times**2 + (1 - times) ** 2)[:, None]  # of x_t between two such draws
        return (2 * times[:, None] - 1) / variances * x + added / jnp.sqrt(variances)


class FlowMatching(LearnedPrior):
    """Flow matching along straight lines (Lipman et al. 2023, arXiv:2210.02747).

    Samples follow the learned velocities from noise at t = 0 to latents at t = 1. See
    `LearnedPrior`.
    """

    name: ClassVar[str] = "flow_matching"
    num_steps: ClassVar[int] = 4_000

    @staticmethod
    def network(size: int) -> nn.Module:
        return Velocity(size)

    @staticmethod
    def loss(
        network: nn.Module,
        params: Any,
        units: Float[AnyArray, "batch latent"],
        classes: Classes,
        rng: PRNGKeyArray,
    ) -> Scalar:
        """The mean squared error of velocities at random times."""
        time_rng, noise_rng = jax.random.split(rng)
        times = jax.random.uniform(time_rng, (len(units),))
        noise = jax.random.normal(noise_rng, units.shape)
        x = noise + times[:, None] * (units - noise)
        velocity: Any = network.apply({"params": params}, x, classes, times)
        return jnp.mean((velocity - (units - noise)) ** 2)

    def from_noise(self, noise: Float[AnyArray, "batch latent"], classes: Classes) -> _Units:
        return _flowed(self.network(len(self.mean)), self.params, noise, classes)


@functools.partial(jax.jit, static_argnums=0)
def _flowed(
    network: nn.Module, params: Any, noise: Float[AnyArray, "batch latent"], classes: Classes
) -> _Units:
    """Where the velocities take noise, by Heun's method."""

    def velocity(x: _Units, time: Any) -> _Units:
        times = jnp.full(len(x), time)
        found: Any = network.apply({"params": params}, x, classes, times)
        return found

    def step(i: Count, x: _Units) -> _Units:
        time, length = i / _SAMPLING_STEPS, 1 / _SAMPLING_STEPS
        first = velocity(x, time)
        second = velocity(x + length * first, time + length)
        return x + length * (first + second) / 2

    return jax.lax.fori_loop(0, _SAMPLING_STEPS, step, jnp.asarray(noise))
