"""Step sizes of quantizers that make a machine's weights take a given number of bits.

While a machine trains, the step sizes of its groups are free up to a common factor, and the
factor is whatever spends the budget. So a step that grows lets all others shrink, a weight that
shrinks lets all steps shrink, and the distortion alone, under noise as large as the rounding
error will be, says which of them should.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Float64, PRNGKeyArray

from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.fourier import FourierMachine
from dfm_flax.typing import AnyArray, Count

_Scalar = Float[AnyArray, ""]
_Groups = Float[AnyArray, "groups"]

_SMALLEST = 1e-6  # magnitude of a weight, so that logarithms and roots have gradients


class QuantizedMachine(nn.Module):
    """A machine and `log_step_sizes` [groups], natural logarithms, up to a common factor."""

    machine: FourierMachine

    @nn.compact
    def __call__(
        self, positions: Float[AnyArray, "*points 2"]
    ) -> Float[jax.Array, "*points {self.machine.channels}"]:
        """The machine with its weights as they are."""
        self.param("log_step_sizes", nn.initializers.zeros_init(), (num_groups(self.machine),))
        return self.machine(positions)


def quantization(
    machine: FourierMachine,
    params: Any,
    budget: Float[AnyArray, ""],
    rng: PRNGKeyArray | None,
) -> dict[str, Any]:
    """Parameters of the machine as if quantized, for training.

    Args:
      params: of a `QuantizedMachine`.
      budget: bits of all weights.
      rng: for uniform noise one step wide; None to round, with the gradient of no rounding.
    """
    sizes = step_sizes(machine, params, budget)
    quantized = {}
    for i, rows in enumerate(row_groups(machine)):
        weights, size = params["machine"][f"layer_{i}"]["coefficients"], sizes[rows][:, None]
        if rng is not None:
            error = jax.random.uniform(jax.random.fold_in(rng, i), weights.shape) - 0.5
        else:
            error = jax.lax.stop_gradient(jnp.round(weights / size) - weights / size)
        quantized[f"layer_{i}"] = {"coefficients": weights + size * error}
    return quantized


def step_sizes(
    machine: FourierMachine, params: Any, budget: Float[AnyArray, ""]
) -> Float[jax.Array, "groups"]:
    """The step size of each group with which the weights take `budget` bits, about.

    It is differentiable in the weights, in `log_step_sizes` and in the budget.
    """
    counts, magnitudes = _magnitudes(machine, params["machine"])
    log_step_sizes = params["log_step_sizes"]

    def bits(factor: _Scalar, magnitudes: _Groups, log_step_sizes: _Groups) -> _Scalar:
        return jnp.sum(counts * laplace_bits(magnitudes * jnp.exp(-log_step_sizes - factor)))

    fixed = jax.lax.stop_gradient((magnitudes, log_step_sizes))

    def halve(_: Count, bounds: tuple[_Scalar, _Scalar]) -> tuple[_Scalar, _Scalar]:
        low, high = bounds
        middle = (low + high) / 2
        too_many = bits(middle, *fixed) > budget
        return jnp.where(too_many, middle, low), jnp.where(too_many, high, middle)

    bounds = jnp.full_like(budget, -30.0), jnp.full_like(budget, 30.0)
    factor = jax.lax.stop_gradient(jnp.mean(jnp.stack(jax.lax.fori_loop(0, 30, halve, bounds))))
    # One step of Newton's method, which changes little, has the derivatives of the solution.
    slope = jax.lax.stop_gradient(jax.grad(bits)(factor, *fixed))
    factor = factor - (bits(factor, magnitudes, log_step_sizes) - budget) / slope
    return jnp.exp(log_step_sizes + factor)


def laplace_bits(mean: Float[AnyArray, "*shape"]) -> Float[jax.Array, "*shape"]:
    """Entropy in bits of a two-sided geometric integer of a mean magnitude."""
    mean = jnp.maximum(mean, 1e-5)
    root = jnp.sqrt(1 + mean**2)
    # The ratio of the probabilities of n + 1 and n is mean / (1 + root); this is what it is
    # short of 1, without the difference of nearly equal numbers.
    short = (1 + 1 / (mean + root)) / (1 + root)
    log_ratio = jnp.where(mean > 1, jnp.log1p(-short), jnp.log(mean / (1 + root)))
    return (jnp.log((2 - short) / short) - mean * log_ratio) / math.log(2)


def _magnitudes(
    machine: FourierMachine, params: Any
) -> tuple[Float64[np.ndarray, "groups"], Float[jax.Array, "groups"]]:
    """Number of weights, and mean magnitude of a weight, of each group."""
    groups = num_groups(machine)
    counts, totals = np.zeros(groups), jnp.zeros(groups)
    for i, rows in enumerate(row_groups(machine)):
        weights = params[f"layer_{i}"]["coefficients"]
        sums = jnp.sqrt(weights**2 + _SMALLEST**2).sum(axis=1)
        totals = totals + jax.ops.segment_sum(sums, rows, groups)
        counts += np.bincount(rows, minlength=groups) * weights.shape[1]
    return counts, totals / counts
