"""A table of latents that is shared out over the devices, beside one that each device has.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 python -m dfm_flax.benchmarks.tables

Each takes steps with both Adams of rows, in turn: one is on the devices while the other is not.
Prints what a device holds, and the time of a step, with that of the processors, which does not
depend on what else they do.
"""

import argparse
import json
import os
import statistics
import time
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import psutil
from jaxtyping import Float, Int32, PRNGKeyArray, UInt32

from dfm_flax.data.shuffling import shuffled_batch
from dfm_flax.training.losses import Metrics, Scalar
from dfm_flax.training.placement import PLACEMENTS, rows_of_a_device
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import DEVICES, check_divides, make_step, make_train_steps, replicate
from dfm_flax.training.table import LatentTable, TableOptimizer
from dfm_flax.typing import AnyArray, Count

_OPTIMIZER = optax.sgd(0.1)
_B1, _B2 = 0.9, 0.99
_RATE = optax.constant_schedule(1e-2)


@flax.struct.dataclass
class _Batch:
    index: Int32[AnyArray, "batch"]
    latents: Float[AnyArray, "batch latent"] | None = None


@flax.struct.dataclass
class _Feed:
    order: UInt32[jax.Array, "*devices 2"]
    num_rows: int = flax.struct.field(pytree_node=False)
    batch_size: int = flax.struct.field(pytree_node=False)

    def draw(self, rng: PRNGKeyArray, step: Count) -> _Batch:
        return _Batch(shuffled_batch(self.order, step, self.num_rows, self.batch_size))

    def at(self, drawn: _Batch) -> _Batch:
        return drawn


def _loss(params: Any, batch: _Batch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
    return jnp.mean((batch.latents * params["weights"] - 1) ** 2), {}


def _placed(num_rows: int, latent_size: int) -> TrainState:
    """A state whose table is made where it is to be, as large as it may be: on each device."""

    def make(device: Int32[AnyArray, ""]) -> TrainState:
        shape = num_rows, latent_size
        table = LatentTable(
            jnp.full(shape, 0.5), jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(num_rows, jnp.int32)
        )
        params = {"weights": jnp.ones(latent_size)}
        return TrainState.create(jax.random.PRNGKey(0), params, _OPTIMIZER, table=table)

    placed: TrainState = jax.pmap(make, axis_name=DEVICES)(np.arange(jax.local_device_count()))
    return placed


def turn(placement: str, dense: bool, options: argparse.Namespace) -> dict[str, float]:
    """Some steps of one kind of table."""
    shared = placement == "sharded"
    step = make_step(
        _loss,
        _OPTIMIZER,
        table_optimizer=TableOptimizer(_RATE, _B1, _B2, dense),
        shards_table=shared,
    )
    train_steps = make_train_steps(step)
    feed = replicate(_Feed(jax.random.PRNGKey(1), options.rows, options.batch_size))
    num_rows = rows_of_a_device(options.rows) if shared else options.rows
    state = jax.block_until_ready(_placed(num_rows, options.latent_size))
    a_device = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state.table))
    state = jax.block_until_ready(train_steps(state, feed, np.int32(options.steps)))[0]  # compiles
    held = psutil.Process().memory_info().rss
    clock, used = time.perf_counter(), time.process_time()
    state = jax.block_until_ready(train_steps(state, feed, np.int32(options.steps)))[0]
    return {
        "megabytes a device": a_device / 1e6,
        "gigabytes of the process": held / 1e9,
        "ms a step": 1e3 * (time.perf_counter() - clock) / options.steps,
        "cpu ms a step": 1e3 * (time.process_time() - used) / options.steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_281_167, help="ImageNet's images")
    parser.add_argument("--latent-size", type=int, default=120)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=50, help="of a turn")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    check_divides(options.batch_size, jax.device_count())
    for dense in (False, True):
        turns: dict[str, list[dict[str, float]]] = {name: [] for name in PLACEMENTS}
        for _ in range(options.rounds):
            for name, found in turns.items():
                found.append(turn(name, dense, options))
                print(json.dumps({"dense": dense, "placement": name, **found[-1]}), flush=True)
        for what in turns["sharded"][0]:
            pairs = zip(*([one[what] for one in found] for found in turns.values()), strict=True)
            ratios = sorted(ours / theirs for theirs, ours in pairs)
            medians = [statistics.median(one[what] for one in found) for found in turns.values()]
            print(
                f"{'dense' if dense else 'rows'}: {what}: "
                + ", ".join(f"{m:.1f} {name}" for m, name in zip(medians, turns, strict=True))
                + f"; ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )
    print(f"{jax.device_count()} devices, load {os.getloadavg()[0]:.0f}")


if __name__ == "__main__":
    main()
