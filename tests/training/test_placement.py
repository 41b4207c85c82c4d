"""A table of latents that is shared out over the devices, against one that each device has.

Runs in one process with the devices it finds; tests/test_devices.py repeats it on more.
"""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfm_flax.data.shuffling import shuffled_batch
from dfm_flax.errors import UsageError
from dfm_flax.training.placement import (
    Replicated,
    ShardedTable,
    make_placement,
    rows_of_a_device,
)
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import make_step, make_train_steps, replicate
from dfm_flax.training.table import LatentTable, TableOptimizer

NUM, LATENT, BATCH = 59, 3, 12  # rows that 2 to 4 devices do not share evenly
OPTIMIZER = optax.sgd(0.1)
RATE = optax.linear_schedule(0.05, 0.01, 60)


@flax.struct.dataclass
class Batch:
    index: jax.Array
    latents: jax.Array | None = None


class Feed(flax.struct.PyTreeNode):
    order: jax.Array

    def draw(self, rng, step):
        return Batch(shuffled_batch(self.order, step, NUM, BATCH))

    def at(self, drawn):
        return drawn


def loss(params, batch, rng):
    wanted = jnp.sin(batch.index[:, None] * jnp.arange(1, 4))
    error = jnp.mean((batch.latents * params["w"] - wanted) ** 2)
    return error, {}


def initial():
    rng = jax.random.PRNGKey(1)
    table = LatentTable.create(rng, NUM, LATENT, 1.0)
    state = TrainState.create(rng, {"w": jnp.ones(LATENT)}, OPTIMIZER, table=table)
    return jax.tree.map(np.array, state)


def trained(placement, state, num_steps, dense):
    optimizer = TableOptimizer(RATE, 0.9, 0.99, dense)
    sharded = isinstance(placement, ShardedTable)
    step = make_step(loss, OPTIMIZER, table_optimizer=optimizer, shards_table=sharded)
    train_steps = make_train_steps(step)
    feed = replicate(Feed(jax.random.PRNGKey(2)))
    state, *_ = train_steps(placement.put(state), feed, np.int32(num_steps))
    return state


@pytest.mark.parametrize("dense", [False, True])
def test_it_trains_to_the_same_state(dense):
    """With rows that several batches in a row miss, and batches that have a row twice."""
    expected = Replicated().get(trained(Replicated(), initial(), 30, dense))
    sharded = ShardedTable(NUM)
    state = sharded.get(trained(sharded, initial(), 30, dense))
    assert not np.allclose(state.table.latents, initial().table.latents, atol=0.1)
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6),
        state,
        expected,
    )
    np.testing.assert_array_equal(state.table.updates, expected.table.updates)


def test_it_goes_on_from_what_the_other_has():
    whole = Replicated().get(trained(Replicated(), initial(), 10, True))
    sharded = ShardedTable(NUM)
    state = sharded.get(trained(sharded, whole, 10, True))
    expected = Replicated().get(trained(Replicated(), initial(), 20, True))
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6),
        state,
        expected,
    )


def test_each_device_has_its_part_only():
    sharded = ShardedTable(NUM)
    state = sharded.put(initial())
    rows = rows_of_a_device(NUM)
    assert rows == -(-NUM // jax.device_count())
    for leaf, width in ((state.table.latents, LATENT), (state.table.updates, 1)):
        for shard in leaf.addressable_shards:
            assert shard.data.size == rows * width
    jax.tree.map(np.testing.assert_array_equal, sharded.get(state), initial())


def test_names():
    assert isinstance(make_placement("replicated", None), Replicated)
    assert isinstance(make_placement("sharded", 5), ShardedTable)
    with pytest.raises(UsageError, match="is not one of replicated, sharded"):
        make_placement("split", 5)
    with pytest.raises(UsageError, match=r"use --config.model.latents=table"):
        make_placement("sharded", None)
