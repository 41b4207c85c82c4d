"""The rows' optimizer against Adam in float64, one row at a time."""

import collections
import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.training.step import DEVICES, gather_gradients
from dfm_flax.training.table import LatentTable, check_memory

B1, B2 = 0.9, 0.99
RNG = np.random.default_rng(0)
BATCHES = [np.array(rows) for rows in ([0, 3, 5], [3, 1, 3], [5, 3, 0], [3, 3, 3])]  # never 2, 4
GRADIENTS = [RNG.normal(size=(3, 4)).astype(np.float32) for _ in BATCHES]
LEARNING_RATES = [0.1, 0.05, 0.02, 0.01]


def textbook_adam(start, gradients, learning_rates):
    """Kingma and Ba, algorithm 1, on the steps that a row takes part in."""
    mu, nu, x = np.zeros(4), np.zeros(4), np.asarray(start, float)
    for t, (g, learning_rate) in enumerate(zip(gradients, learning_rates, strict=True), start=1):
        mu, nu = B1 * mu + (1 - B1) * g, B2 * nu + (1 - B2) * g**2
        x = x - learning_rate * (mu / (1 - B1**t)) / (np.sqrt(nu / (1 - B2**t)) + 1e-8)
    return x


def trained():
    start = LatentTable.create(jax.random.PRNGKey(0), 6, 4, 0.5)
    table = start
    for index, gradients, learning_rate in zip(BATCHES, GRADIENTS, LEARNING_RATES, strict=True):
        table = table.update(index, gradients, learning_rate, B1, B2)
    return start, table


def test_rows_are_updated_by_the_adam_of_their_own_steps():
    start, table = trained()
    history = collections.defaultdict(list)
    for index, gradients, learning_rate in zip(BATCHES, GRADIENTS, LEARNING_RATES, strict=True):
        for row in set(index.tolist()):  # duplicates in a batch: one step with the sum
            history[row].append((gradients[index == row].sum(axis=0), learning_rate))
    for row in range(6):
        gradients, learning_rates = (
            [g for g, _ in history[row]],
            [learning_rate for _, learning_rate in history[row]],
        )
        expected = textbook_adam(start.latents[row], gradients, learning_rates)
        np.testing.assert_allclose(table.latents[row], expected, rtol=1e-4, atol=1e-6)
        assert table.updates[row] == len(history[row])


def test_unseen_rows_keep_latents_and_moments():
    start, table = trained()
    for row in (2, 4):
        for before, after in zip(jax.tree.leaves(start), jax.tree.leaves(table), strict=True):
            np.testing.assert_array_equal(before[row], after[row])


def test_latents_start_with_the_variance_asked_for():
    table = LatentTable.create(jax.random.PRNGKey(0), 1000, 20, 2e-2)
    assert table.latents.var() == pytest.approx(2e-2, rel=0.05)
    assert not table.mu.any()
    assert not table.nu.any()


def test_all_devices_get_the_gradients_of_the_mean_over_the_whole_batch():
    """Runs with the devices it finds; tests/test_devices.py repeats it on more."""
    devices = jax.local_device_count()
    rows = jnp.asarray(RNG.normal(size=(4 * devices, 3)), jnp.float32)
    whole = jax.grad(lambda rows: jnp.mean(jnp.sin(rows)))(rows)
    shards = rows.reshape(devices, 4, 3)
    gathered = jax.pmap(
        lambda rows: gather_gradients(jax.grad(lambda rows: jnp.mean(jnp.sin(rows)))(rows)),
        axis_name=DEVICES,
    )(shards)
    for replica in gathered:
        np.testing.assert_allclose(replica, whole, rtol=1e-6)


def test_a_table_larger_than_memory_is_refused_with_its_bytes(monkeypatch):
    memory = SimpleNamespace(available=10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    check_memory(10_000, 120)
    with pytest.raises(UsageError, match=r"10000000 latents of 120 .* [\d,]{14,} bytes"):
        check_memory(10_000_000, 120)


@pytest.mark.slow
def test_the_cost_of_a_step_does_not_grow_with_the_table():
    """A thousand times the rows; a dense Adam would take some 500 times as long."""

    def seconds(num):
        table = LatentTable.create(jax.random.PRNGKey(0), num, 32, 1.0)

        def steps(table, count):
            def body(i, table):
                index = (i * 7919 + jnp.arange(64) * 104_729) % num
                return table.update(index, 0.1 * table.latents[index], 1e-3, B1, B2)

            return jax.lax.fori_loop(0, count, body, table)

        run = jax.jit(steps, donate_argnums=0)
        table = jax.block_until_ready(run(table, 10))
        times = []
        for _ in range(5):
            clock = time.perf_counter()
            table = jax.block_until_ready(run(table, 200))
            times.append(time.perf_counter() - clock)
        return min(times) / 200

    assert seconds(500_000) < 10 * seconds(500)
