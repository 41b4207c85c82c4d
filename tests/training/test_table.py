"""The rows' optimizer against Adam in float64, one row at a time."""

import collections
import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import psutil
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.training.step import DEVICES, gather_gradients
from dfm_flax.training.table import LatentTable, check_memory, num_coasting_terms

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


@jax.jit
def updated(table, index, gradients, learning_rate):
    return table.update(index, gradients, learning_rate, B1, B2)


@functools.partial(jax.jit, static_argnames="schedule")
def coasted(table, index, step, schedule):
    return table.coasted(index, step, schedule, B1, 0.999)


@functools.cache
def trained():
    start = LatentTable.create(jax.random.PRNGKey(0), 6, 4, 0.5)
    table = start
    for index, gradients, learning_rate in zip(BATCHES, GRADIENTS, LEARNING_RATES, strict=True):
        table = updated(table, index, gradients, learning_rate)
    return start, table


@pytest.mark.devices
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


@pytest.mark.devices
def test_unseen_rows_keep_latents_and_moments():
    start, table = trained()
    for row in (2, 4):
        for before, after in zip(jax.tree.leaves(start), jax.tree.leaves(table), strict=True):
            np.testing.assert_array_equal(before[row], after[row])


def a_dense_run(num, steps, batch, scale=1.0):
    """The batches of a run on a table of `num` rows, with their gradients."""
    rng = np.random.default_rng(1)
    index = rng.integers(0, num, (steps, batch))
    gradients = scale * rng.normal(size=(steps, batch, 4)).astype(np.float32)
    start = LatentTable.create(jax.random.PRNGKey(0), num, 4, 0.5)
    return index, gradients, start


def trained_lazily(index, gradients, start, schedule, b2=0.999, eps=1e-8):
    def step(i, table):
        table = table.coasted(index[i], i, schedule, B1, b2, eps)
        return table.update(index[i], gradients[i], schedule(i), B1, b2, eps)

    index, gradients = jnp.asarray(index), jnp.asarray(gradients)
    table = jax.jit(lambda table: jax.lax.fori_loop(0, len(index), step, table))(start)
    return table.coasted(jnp.arange(len(start.mu)), len(index), schedule, B1, b2, eps)


def dense_gradient(index, gradients, num):
    return jnp.zeros((num, 4)).at[index].add(gradients)


# At most one update of size 1 a step: learning rates add up to what a row can move in all.
SCHEDULES = {
    "linear to zero": optax.linear_schedule(1e-2, 1e-7, 600),
    "constant": optax.constant_schedule(1e-2),
    "warmup": optax.linear_schedule(0.0, 1e-2, 300),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("eps", "scale"), [(1e-8, 1.0), (1e-3, 1e-3)])
def test_rows_that_coast_are_those_of_a_dense_adam(name, eps, scale):
    """Against optax on the whole table, with rows unseen for up to 600 steps.

    To 2e-5 of the way that a row has come: float32 sums and optax's own 1 - b2^count.
    """
    num, schedule = 40, SCHEDULES[name]
    index, gradients, start = a_dense_run(num, 600, 2, scale)
    index[:, 1] = np.minimum(index[:, 1], 35)  # some rarely, the last ones hardly ever
    index[:, 0] = np.where(np.arange(600) % 3, index[:, 0] % 8, index[:, 0])
    optimizer = optax.adam(schedule, B1, 0.999, eps)

    def step(i, carry):
        x, state = carry
        updates, state = optimizer.update(dense_gradient(index_[i], gradients_[i], num), state)
        return optax.apply_updates(x, updates), state

    index_, gradients_ = jnp.asarray(index), jnp.asarray(gradients)
    run = jax.jit(lambda x: jax.lax.fori_loop(0, 600, step, (x, optimizer.init(x))))
    expected, state = run(start.latents)
    table = trained_lazily(index, gradients, start, schedule, eps=eps)
    way = np.abs(expected - start.latents).max()
    assert way > 0.05
    np.testing.assert_allclose(table.latents, expected, atol=2e-5 * way, rtol=0)
    np.testing.assert_allclose(table.mu, state[0].mu, rtol=1e-4, atol=1e-7 * scale)
    np.testing.assert_allclose(table.nu, state[0].nu, rtol=1e-4, atol=1e-9 * scale**2)
    assert (np.asarray(table.updates) == 600).all()


def test_one_long_coast_is_that_of_float64():
    """5,000 steps without a gradient after the first, in float64 one by one, to 2e-6."""
    schedule = SCHEDULES["linear to zero"]
    start = LatentTable.create(jax.random.PRNGKey(0), 3, 4, 0.5)
    gradient = np.asarray(GRADIENTS[0])
    index = jnp.arange(3)
    table = start.update(index, gradient, schedule(0), B1, 0.999)
    table = coasted(table, index, 5000, schedule)
    mu, nu, x = 0.1 * gradient.astype(float), 1e-3 * gradient.astype(float) ** 2, 0.0
    for t in range(1, 5001):
        learning_rate = max(1e-2 * (1 - (t - 1) / 600), 0) + 1e-7 * min((t - 1) / 600, 1)
        x = x - learning_rate * (mu / (1 - B1**t)) / (np.sqrt(nu / (1 - 0.999**t)) + 1e-8)
        mu, nu = B1 * mu, 0.999 * nu
    moved = np.asarray(table.latents, float) - np.asarray(start.latents, float)
    np.testing.assert_allclose(moved, x, atol=2e-6 * np.abs(x).max() + 2e-7)


def test_coasting_in_parts_is_coasting_at_once():
    schedule = SCHEDULES["constant"]
    index, gradients, start = a_dense_run(10, 30, 3)
    table = trained_lazily(index, gradients, start, schedule)
    rows = jnp.array([3, 1, 3])
    whole = coasted(table, rows, 400, schedule)
    parts = table
    for step in (31, 40, 41, 400):
        parts = coasted(parts, rows, step, schedule)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)
    same = coasted(whole, rows, 400, schedule)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)
    unasked = np.array([0, 2, 4, 5, 6, 7, 8, 9])
    np.testing.assert_array_equal(whole.latents[unasked], table.latents[unasked])


def test_a_row_that_never_comes_to_rest_is_refused():
    assert num_coasting_terms(0.9, 0.999) == 199
    assert num_coasting_terms(0.0, 0.999) == 0
    with pytest.raises(UsageError, match="never comes to rest"):
        num_coasting_terms(0.9, 0.8)


def test_latents_start_with_the_variance_asked_for():
    table = LatentTable.create(jax.random.PRNGKey(0), 1000, 20, 2e-2)
    assert table.latents.var() == pytest.approx(2e-2, rel=0.05)
    assert not table.mu.any()
    assert not table.nu.any()


@pytest.mark.devices
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


@pytest.mark.parametrize("devices", [1, 2, 3, 4])
def test_gathered_gradients_are_in_the_order_of_the_batch(devices):
    """Of as many devices as there may be, with an axis of vmap in place of them."""
    rows = RNG.normal(size=(devices, 12 // devices, 3)).astype(np.float32)
    gathered = jax.vmap(gather_gradients, axis_name=DEVICES)(rows)
    for replica in gathered:
        np.testing.assert_allclose(replica, rows.reshape(12, 3) / devices, rtol=1e-6)


def test_a_table_larger_than_memory_is_refused_with_its_bytes(monkeypatch):
    memory = SimpleNamespace(available=10**9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    check_memory(10_000, 120)
    with pytest.raises(UsageError, match=r"10000000 latents of 120 .* [\d,]{14,} bytes"):
        check_memory(10_000_000, 120)


def test_the_cost_of_a_step_does_not_grow_with_the_table():
    """As many operations as XLA counts, in memory of a batch beside the table, which is donated."""

    def cost(num):
        def step(table, i):
            index = (i * 7919 + jnp.arange(64) * 104_729) % num
            return table.update(index, 0.1 * table.latents[index], 1e-3, B1, B2)

        table = LatentTable.empty(num, 32)
        compiled = jax.jit(step, donate_argnums=0).lower(table, 0).compile()
        return compiled.cost_analysis()["flops"], compiled.memory_analysis().temp_size_in_bytes

    operations, memory = cost(500_000)
    assert (operations, memory) == cost(500)
    assert operations < 500_000
    assert memory < 500_000
