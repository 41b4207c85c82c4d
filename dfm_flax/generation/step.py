"""One step of training a generator: a batch of images, dense weights, rows of the table."""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from dfm_flax.data.shuffling import shuffled_batch
from dfm_flax.generation.losses import GenerationLoss
from dfm_flax.training.step import DEVICES, StepFn, shard
from dfm_flax.training.table import LatentTable, gather_gradients


@flax.struct.dataclass
class GenerationState:
    """All that the next step depends on, besides the data.

    Attributes:
      step: steps done.
      rng: raw random key, uint32 [2].
      params: encoder and decoder.
      opt_state: their optimizer's state.
      ema: exponential moving average of `params`; None without.
      table: latents of all images; None with an encoder.
    """

    step: jax.Array
    rng: jax.Array
    params: Any
    opt_state: optax.OptState
    ema: Any
    table: LatentTable | None

    @property
    def averaged_params(self) -> Any:
        """The weights to draw images with."""
        return self.params if self.ema is None else self.ema


def make_generation_step(
    loss_fn: GenerationLoss,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    *,
    table_rate: optax.Schedule | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    ema_decay: float = 0.0,
) -> StepFn:
    """A step on this device's shard of a batch of a data set, as uint8 images [N, H, W, C].

    Each epoch holds every image once, in an order that follows from the state's `rng`.

    Args:
      table_rate: learning rate of the table's rows; b1 and b2 are those of their Adam.
      ema_decay: of the average of the weights, which is shorter in the first steps: the
        average forgets at least 1 part in 10 + step / 10.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def step(state: GenerationState, images: jax.Array):
        order_rng, rng = jax.random.split(state.rng)
        rng = jax.random.fold_in(rng, state.step)
        index = shuffled_batch(order_rng, state.step, images.shape[0], batch_size)
        batch = images[shard(index)].astype(jnp.float32) / 127.5 - 1
        table = state.table
        rows = None if table is None else table.latents[shard(index)]
        gradients, figures = jax.grad(loss_fn, argnums=(0, 1), has_aux=True)(
            state.params, rows, batch, rng
        )
        weights_gradient, figures = jax.lax.pmean((gradients[0], figures), DEVICES)
        updates, opt_state = optimizer.update(
            weights_gradient, state.opt_state, state.params, step=state.step
        )
        params = optax.apply_updates(state.params, updates)
        if table is not None:
            assert table_rate is not None
            table = table.update(
                index, gather_gradients(gradients[1]), table_rate(state.step), b1, b2
            )
        ema = state.ema
        if ema is not None:
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema = optax.incremental_update(params, ema, 1 - decay)
        state = dataclasses.replace(
            state, step=state.step + 1, params=params, opt_state=opt_state, ema=ema, table=table
        )
        return state, figures

    return step
