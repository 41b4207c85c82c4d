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

pytestmark = pytest.mark.devices

NUM, LATENT, BATCH = 100, 30, 12  # rows that 2 to 4 devices do not share evenly
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
    wanted = jnp.sin(batch.index[:, None] * jnp.arange(1, LATENT + 1))
    error = jnp.mean((batch.latents * params["w"] - wanted) ** 2)
    return error, {}


def initial():
    rng = jax.random.PRNGKey(1)
    table = LatentTable.create(rng, NUM, LATENT, 1.0)
    state = TrainState.create(rng, {"w": jnp.ones(LATENT)}, OPTIMIZER, table=table)
    return jax.tree.map(np.array, state)


def stepped(placement, state, num_steps, dense=False):
    """A state on the devices after some more steps."""
    optimizer = TableOptimizer(RATE, 0.9, 0.99, dense)
    sharded = isinstance(placement, ShardedTable)
    step = make_step(loss, OPTIMIZER, table_optimizer=optimizer, shards_table=sharded)
    feed = replicate(Feed(jax.random.PRNGKey(2)))
    state, *_ = make_train_steps(step)(state, feed, np.int32(num_steps))
    return state


def trained(placement, state, num_steps, dense):
    state = stepped(placement, placement.put(placement.part(state)), num_steps, dense)
    return placement.whole(placement.get(state))


def assert_close(state, expected):
    jax.tree.map(
        lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6),
        state,
        expected,
    )


@pytest.mark.parametrize("dense", [False, True])
def test_it_trains_to_the_same_state(dense):
    """With rows that several batches in a row miss, and batches that have a row twice."""
    expected = trained(Replicated(), initial(), 40, dense)
    state = trained(ShardedTable(NUM), initial(), 40, dense)
    assert not np.allclose(state.table.latents, initial().table.latents, atol=0.1)
    assert_close(state, expected)
    np.testing.assert_array_equal(state.table.updates, expected.table.updates)


def test_it_goes_on_from_what_the_other_has():
    whole = trained(Replicated(), initial(), 10, True)
    state = trained(ShardedTable(NUM), whole, 10, True)
    assert_close(state, trained(Replicated(), initial(), 20, True))


def test_each_device_has_its_part_only():
    """Whole blocks of rows, of which the last device that has any need not have all."""
    sharded = ShardedTable(NUM)
    state = sharded.put(sharded.part(initial()))
    rows = rows_of_a_device(NUM)
    assert rows == {1: 112, 2: 64, 3: 48, 4: 32}[jax.device_count()]
    for leaf, width in ((state.table.latents, LATENT), (state.table.updates, 1)):
        for shard in leaf.addressable_shards:
            assert shard.data.size == rows * width
    whole = sharded.whole(sharded.get(state))
    jax.tree.map(np.testing.assert_array_equal, whole, initial())


def test_names():
    assert isinstance(make_placement("replicated", None), Replicated)
    assert isinstance(make_placement("sharded", 5), ShardedTable)
    with pytest.raises(UsageError, match="is not one of replicated, sharded"):
        make_placement("split", 5)
    with pytest.raises(UsageError, match=r"use --config.model.latents=table"):
        make_placement("sharded", None)
