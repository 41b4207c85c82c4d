"""Train steps: one pure function, mapped over models by vmap and over devices by pmap."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dfm_flax.errors import UsageError
from dfm_flax.training.state import TrainState

DEVICES = "devices"  # the name of the pmap axis

LossFn = Callable[
    [Any, Any, jax.Array], jax.Array
]  # (params, data, rng) -> loss of this device's shard
# Of a TrainState, or another state with `step` and `params`.
StepFn = Callable[[Any, Any], tuple[Any, jax.Array]]


def make_step(loss_fn: LossFn, optimizer: optax.GradientTransformation) -> StepFn:
    """One step of one model on this device's shard of the batch.

    `loss_fn` gets the same `rng` on all devices and takes its own part of the batch by
    `shard`; losses and gradients are averaged over the devices.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def step(state: TrainState, data) -> tuple[TrainState, jax.Array]:
        rng = jax.random.fold_in(state.rng, state.step)
        loss, gradients = jax.value_and_grad(loss_fn)(state.params, data, rng)
        loss, gradients = jax.lax.pmean((loss, gradients), DEVICES)
        updates, opt_state = optimizer.update(
            gradients, state.opt_state, state.params, step=state.step
        )
        params = optax.apply_updates(state.params, updates)
        state = dataclasses.replace(state, step=state.step + 1, params=params, opt_state=opt_state)
        return state, loss

    return step


def over_machines(step: StepFn) -> StepFn:
    """The same step for many models at once: all of the state but `step`, and the data, stacked."""
    axes = TrainState.of_machines()
    return jax.vmap(step, in_axes=(axes, 0), out_axes=(axes, 0))


def make_train_steps(step: StepFn):
    """Many steps a dispatch, on all local devices.

    Returns a function of (state, data, num_steps): state (donated) and data replicated over
    the devices, `num_steps` an int32 that may change from call to call without compiling
    again. It returns the new state, the mean loss of those steps, the first step whose loss
    is not finite (-1 if there is none), both shaped like the loss, and whether all
    parameters are finite.
    """

    def train_steps(state: TrainState, data, num_steps):
        start = state.step

        def body(i, carry):
            state, total, first_bad = carry
            state, loss = step(state, data)
            first_bad = jnp.where((first_bad < 0) & ~jnp.isfinite(loss), start + i, first_bad)
            return state, total + loss, first_bad

        loss = jax.eval_shape(lambda: step(state, data)[1])
        init = state, jnp.zeros(loss.shape, loss.dtype), jnp.full(loss.shape, -1, jnp.int32)
        state, total, first_bad = jax.lax.fori_loop(0, num_steps, body, init)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)])
        return state, total / num_steps, first_bad, finite.all()

    return jax.pmap(
        train_steps,
        axis_name=DEVICES,
        in_axes=(0, 0, None),
        out_axes=(0, None, None, None),
        donate_argnums=0,
    )


def shard(batch: jax.Array) -> jax.Array:
    """The part of a batch [B, ...] for this device: one of `axis_size` equal parts, in order."""
    size = batch.shape[0] // jax.lax.axis_size(DEVICES)
    return jax.lax.dynamic_slice_in_dim(batch, jax.lax.axis_index(DEVICES) * size, size)


def check_divides(batch_size: int, num_devices: int) -> None:
    """Raises UsageError for a batch that cannot be split evenly over the devices."""
    if batch_size % num_devices or batch_size < 1:
        below = max(0, batch_size // num_devices * num_devices)
        choices = f"{below} or {below + num_devices}" if below else f"{num_devices}"
        raise UsageError(
            f"a batch of {batch_size} does not divide over {num_devices} devices; "
            f"use --config.training.batch_size={choices}"
        )


def replicate(tree):
    """Copies a pytree to all local devices, with a leading device axis."""
    copy = jax.pmap(lambda _, tree: tree, axis_name=DEVICES, in_axes=(0, None))
    return copy(np.arange(jax.local_device_count()), tree)


def first_replica(tree):
    """A replicated pytree as NumPy arrays, read from the first device only."""
    # A copy: the CPU backend would hand out a view of memory that the next step overwrites.
    return jax.tree.map(lambda leaf: np.array(leaf.addressable_shards[0].data[0]), tree)
