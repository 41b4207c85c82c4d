"""Train steps: one pure function, mapped over models by vmap and over devices by pmap."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int32, Shaped

from dfm_flax.errors import UsageError
from dfm_flax.training.feed import Feed
from dfm_flax.training.losses import Loss, Metrics, Scalar
from dfm_flax.training.state import TrainState
from dfm_flax.training.table import LatentTable, TableOptimizer
from dfm_flax.typing import Count

DEVICES = "devices"  # the name of the pmap axis

# Of matrix products in training, JAX's names: "default" is what is fast on a device (TF32 on
# recent GPUs, bfloat16 on TPUs, float32 on CPUs), "high" between it and "highest", float32.
PRECISIONS = ("default", "high", "highest")

# (state, feed) -> (state, metrics), on one device's shard of the batch.
Step = Callable[[TrainState, Any], tuple[TrainState, Metrics]]


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: float = 0.0,
    table_optimizer: TableOptimizer | None = None,
    shards_table: bool = False,
) -> Step:
    """One step of one model: draws a batch, works on this device's shard of it, and agrees.

    All devices give the loss the same key; loss, metrics and gradients are averaged over them.

    Args:
      ema_decay: of the average of the parameters, if the state has one, which is shorter in the
        first steps: the average forgets at least 1 part in 10 + step / 10.
      table_optimizer: of the state's table, if it has one. What the feed draws then
        has `index` [B], and the batch `latents`, which the step fills with those rows.
      shards_table: whether each device has its part of the table, see `placement.ShardedTable`.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def step(state: TrainState, feed: Feed) -> tuple[TrainState, Metrics]:
        rng = jax.random.fold_in(state.rng, state.step)
        drawn = feed.draw(rng, state.step)
        own = jax.tree.map(shard, drawn)
        batch = feed.at(own)

        def of(
            params: Any, latents: Float[jax.Array, "batch latent"] | None
        ) -> tuple[Scalar, Metrics]:
            filled = batch if latents is None else batch.replace(latents=latents)
            return loss(params, filled, rng)

        ema, table, latents = state.ema, state.table, None
        if table is not None:
            assert table_optimizer is not None
            index = own_rows(drawn.index, len(table.mu)) if shards_table else drawn.index
            table = table_optimizer.gather(table, index, state.step)
            latents = scattered(table, index) if shards_table else table.latents[own.index]
        (value, metrics), (gradients, latent_gradients) = jax.value_and_grad(
            of, argnums=(0, 1), has_aux=True
        )(state.params, latents)
        metrics, gradients = jax.lax.pmean(({"loss": value, **metrics}, gradients), DEVICES)
        updates, opt_state = optimizer.update(
            gradients, state.opt_state, state.params, step=state.step
        )
        params = optax.apply_updates(state.params, updates)
        if ema is not None:
            decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
            ema = optax.incremental_update(params, ema, 1 - decay)
        if table is not None:
            assert table_optimizer is not None
            gathered = gather_gradients(latent_gradients)
            table = table_optimizer.update(table, index, gathered, state.step)
        state = dataclasses.replace(
            state, step=state.step + 1, params=params, opt_state=opt_state, ema=ema, table=table
        )
        return state, metrics

    return step


def own_rows(index: Int32[jax.Array, "batch"], num_rows: int) -> Int32[jax.Array, "batch"]:
    """Rows of a table that is shared out, as they are counted in this device's part.

    Those of other devices lie behind its last one: what is written there is dropped.
    """
    own = index - jax.lax.axis_index(DEVICES) * num_rows
    return jnp.where((own >= 0) & (own < num_rows), own, num_rows)


def scattered(
    table: LatentTable, index: Int32[jax.Array, "batch"]
) -> Float[jax.Array, "own latent"]:
    """The latents of this device's share of a batch, of which each device knows some.

    Each is the sum of one row and of zeros, and so that row to the last bit.
    """
    is_own = (index < len(table.mu))[:, None]
    known = jnp.where(is_own, table.latents[jnp.minimum(index, len(table.mu) - 1)], 0.0)
    return jax.lax.psum_scatter(known, DEVICES, tiled=True)


def gather_gradients(
    gradients: Float[jax.Array, "own latent"],
) -> Float[jax.Array, "batch latent"]:
    """The gradients of the whole batch's mean loss, from those of each device's shard.

    All devices get all of them, so their tables stay equal.
    """
    gathered = jax.lax.all_gather(gradients, DEVICES, tiled=True)
    return gathered / jax.lax.axis_size(DEVICES)


def at_precision(step: Step, precision: str) -> Step:
    """The same step, with its matrix products at one of `PRECISIONS`.

    Products whose place in the code says a precision keep that. CPUs have just one.
    """

    def precise(state: TrainState, feed: Any) -> tuple[TrainState, Any]:
        with jax.default_matmul_precision(precision):
            return step(state, feed)

    return precise


def check_precision(precision: str) -> None:
    """Raises UsageError for a precision that there is not."""
    if precision not in PRECISIONS:
        raise UsageError(
            f"config: training.precision={precision!r} is not one of {', '.join(PRECISIONS)}"
        )


def over_machines(step: Step) -> Step:
    """The same step for many models at once: all of the state but `step`, and the feed, stacked."""
    axes = TrainState.of_machines()
    return jax.vmap(step, in_axes=(axes, 0), out_axes=(axes, 0))


@functools.lru_cache(maxsize=4)
def make_train_steps(
    step: Step, devices: tuple[jax.Device, ...] | None = None
) -> Callable[..., Any]:
    """Many steps a dispatch, on all local devices, or on those that are given.

    Returns a function of (state, feed, num_steps): state (donated) and feed replicated over
    the devices, `num_steps` an int32 that may change from call to call without compiling
    again. It returns the new state, the mean metrics of those steps, the first step whose loss
    is not finite (-1 if there is none), shaped like the loss, and whether all parameters are
    finite. What it compiles is kept for the same step.
    """

    def train_steps(state: TrainState, feed: Any, num_steps: Count) -> tuple[Any, ...]:
        start = state.step

        def body(i: Count, carry: Any) -> Any:
            state, totals, first_bad = carry
            state, metrics = step(state, feed)
            is_new = (first_bad < 0) & ~jnp.isfinite(metrics["loss"])
            first_bad = jnp.where(is_new, start + i, first_bad)
            return state, jax.tree.map(jnp.add, totals, metrics), first_bad

        shapes = jax.eval_shape(lambda: step(state, feed)[1])
        totals = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        init = state, totals, jnp.full(shapes["loss"].shape, -1, jnp.int32)
        state, totals, first_bad = jax.lax.fori_loop(0, num_steps, body, init)
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params)])
        means = jax.tree.map(lambda total: total / num_steps, totals)
        return state, means, first_bad, finite.all()

    return jax.pmap(
        train_steps,
        axis_name=DEVICES,
        in_axes=(0, 0, None),
        out_axes=(0, None, None, None),
        donate_argnums=0,
        devices=devices,
    )


def make_one_step(step: Step) -> Callable[..., Any]:
    """A step a dispatch, on the first device: a function of (state, feed), both replicated to it.

    On CPUs, XLA runs convolutions many times slower inside of a loop.
    """
    first = jax.local_devices()[:1]
    return jax.pmap(step, axis_name=DEVICES, out_axes=(0, None), donate_argnums=0, devices=first)


def shard(batch: Shaped[jax.Array, "batch *rest"]) -> Shaped[jax.Array, "own *rest"]:
    """The part of a batch for this device: one of `axis_size` equal parts, in order."""
    size = batch.shape[0] // jax.lax.axis_size(DEVICES)
    return jax.lax.dynamic_slice_in_dim(batch, jax.lax.axis_index(DEVICES) * size, size)


def of_all_devices(own: Shaped[jax.Array, "own *rest"]) -> Shaped[jax.Array, "batch *rest"]:
    """The whole batch in a loss, from the parts of all devices; all of it outside of a step.

    All devices get it. The mean of their gradients is that of what they make of it, through all
    parts.
    """
    try:
        return jax.lax.all_gather(own, DEVICES, tiled=True)
    except NameError:  # no axis of devices: this is no train step
        return own


def check_divides(batch_size: int, num_devices: int) -> None:
    """Raises UsageError for a batch that cannot be split evenly over the devices."""
    if batch_size % num_devices or batch_size < 1:
        below = max(0, batch_size // num_devices * num_devices)
        choices = f"{below} or {below + num_devices}" if below else f"{num_devices}"
        raise UsageError(
            f"a batch of {batch_size} does not divide over {num_devices} devices; "
            f"use --config.training.batch_size={choices}"
        )


def rounded_up(batch_size: int, num_devices: int) -> int:
    """The smallest batch of at least so many that divides over the devices."""
    return -(-batch_size // num_devices) * num_devices


def replicate(tree: Any, num_devices: int | None = None) -> Any:
    """Copies a pytree to the first `num_devices` local devices, or all, with a leading axis."""
    devices = jax.local_devices()[:num_devices]
    copy = jax.pmap(lambda _, tree: tree, axis_name=DEVICES, in_axes=(0, None), devices=devices)
    return copy(np.arange(len(devices)), tree)


def local_places() -> dict[jax.Device, int]:
    """Where each local device is on the axis of steps, in the order of their rows in arrays."""
    rows = np.arange(jax.local_device_count())
    place = jax.pmap(lambda row: (row, jax.lax.axis_index(DEVICES)), axis_name=DEVICES)
    found = [
        [(int(shard.data[0]), shard.device) for shard in leaf.addressable_shards]
        for leaf in place(rows)
    ]
    row_of = {device: row for row, device in found[0]}
    places = {device: place for place, device in found[1]}
    return dict(sorted(places.items(), key=lambda item: row_of[item[0]]))


def place_rows(rows: Any) -> Any:
    """A pytree of arrays with a leading axis, a row of each on each local device."""
    place = jax.pmap(lambda rows: rows, axis_name=DEVICES, devices=jax.local_devices())
    return place(rows)


def first_replica(tree: Any) -> Any:
    """A replicated pytree as NumPy arrays, read from the first device only."""
    # A copy: the CPU backend would hand out a view of memory that the next step overwrites.
    return jax.tree.map(lambda leaf: np.array(leaf.addressable_shards[0].data[0]), tree)
