import argparse

import jax
import pytest

from dfm_flax.benchmarks import tables
from dfm_flax.training.placement import rows_of_a_device

OPTIONS = argparse.Namespace(rows=200, latent_size=8, batch_size=24, steps=3)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("placement", ["replicated", "sharded"])
def test_a_device_has_its_rows(placement, dense):
    """Latents and two moments of each, and a count."""
    found = tables.turn(placement, dense, OPTIONS)
    rows = rows_of_a_device(200) if placement == "sharded" else 200
    assert found["megabytes a device"] * 1e6 == pytest.approx(4 * rows * (3 * 8 + 1))
    assert min(found.values()) > 0


def test_the_states_are_as_training_has_them():
    state = tables._placed(200, 8)
    assert {leaf.shape[:2] for leaf in jax.tree.leaves(state.table)} == {
        (jax.local_device_count(), 200)
    }
    assert len({leaf.unsafe_buffer_pointer() for leaf in pointers(state.table)}) == 4


def pointers(table):
    """Arrays of the first device: steps are given their memory, so each has its own."""
    return [leaf.addressable_shards[0].data for leaf in jax.tree.leaves(table)]
