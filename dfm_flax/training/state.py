"""The one struct that training carries from step to step."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Key, UInt32

from dfm_flax.typing import AnyArray


@flax.struct.dataclass
class TrainState:
    """All that the next step depends on, besides the data.

    The random stream of a step follows from `rng` and `step` alone, so a run that
    was interrupted goes on exactly as if it had not been.

    Attributes:
      step: steps done; one number, also for many models trained at once.
      rng: raw random key, uint32 [2]. Saved as plain numbers.
      params: the model's variables.
      opt_state: the optimizer's state.
      ema: exponential moving average of `params`; None without.
      table: learned latents of all images (`training.table.LatentTable`); None without.
    """

    step: Any
    rng: Any
    params: Any
    opt_state: optax.OptState
    ema: Any = None
    table: Any = None

    @classmethod
    def create(
        cls,
        rng: UInt32[AnyArray, "*machines 2"] | Key[jax.Array, "*machines"],
        params: Any,
        optimizer: optax.GradientTransformation,
        *,
        averaged: bool = False,
        table: Any = None,
    ) -> "TrainState":
        """The state at step 0; `averaged` says whether it has an average of the parameters.

        The key may be a raw one or one of `jax.random.key`.
        """
        if jnp.issubdtype(rng.dtype, jax.dtypes.prng_key):
            rng = jax.random.key_data(rng)
        return cls(
            step=jnp.zeros((), jnp.int32),
            rng=rng,
            params=params,
            opt_state=optimizer.init(params),
            ema=params if averaged else None,
            table=table,
        )

    @property
    def averaged_params(self) -> Any:
        """The parameters to use when trained: their average, where there is one."""
        return self.params if self.ema is None else self.ema

    @classmethod
    def of_machines(cls) -> "TrainState":
        """The axes of `jax.vmap` for many models trained at once: all but the step."""
        return cls(step=None, rng=0, params=0, opt_state=0)

    def machines(self, which: slice) -> "TrainState":
        """Some of many models trained at once."""
        return jax.tree.map(lambda leaf: leaf[which] if leaf.ndim else leaf, self)

    def params_of(self, machine: int) -> Any:
        """The parameters of one of many models trained at once."""
        return jax.tree.map(lambda leaf: leaf[machine], self.params)

    @classmethod
    def concatenate(cls, states: Sequence["TrainState"]) -> "TrainState":
        """Many models at once from parts of them, NumPy arrays; all are at the same step."""
        return jax.tree.map(
            lambda *leaves: np.concatenate(leaves) if leaves[0].ndim else leaves[0], *states
        )


def initial_states(
    model: nn.Module, optimizer: optax.GradientTransformation, seeds: Sequence[int]
) -> TrainState:
    """The stacked states of one model a seed, each as it would be alone."""
    return jax.tree.map(np.array, _create_all(model, optimizer, np.array(seeds, np.uint32)))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _create_all(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    seeds: UInt32[AnyArray, "machines"],
) -> TrainState:
    def create(seed: UInt32[AnyArray, ""]) -> TrainState:
        init_rng, step_rng = jax.random.split(jax.random.PRNGKey(seed))
        params = model.init(init_rng, jnp.zeros((1, 2)))["params"]
        return TrainState.create(step_rng, params, optimizer)

    return jax.vmap(create, out_axes=TrainState.of_machines())(seeds)


def num_parameters(params: Any) -> int:
    """How many numbers the parameters of a model, or of many at once, are."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
