"""Tests of shuffled batches: each example once an epoch, in an order as good as a drawn one."""

import math
import os
import socket
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dfm_flax.data.shuffling import MAX_EXAMPLES, HostOrder, _start, shuffled_batch
from tests import fork_server

KEY = jax.random.PRNGKey(0)


@partial(jax.jit, static_argnums=(2, 3))
def stream(rng, steps, num_examples, batch_size):
    """The batches of the given steps, one after the other."""
    batches = jax.lax.map(lambda step: shuffled_batch(rng, step, num_examples, batch_size), steps)
    return batches.reshape(-1)


def orders(rng, num_examples, count):
    """The orders of the first epochs: [count, num_examples]."""
    batches = stream(rng, jnp.arange(count), num_examples, num_examples)
    return np.asarray(batches).reshape(count, num_examples)


@pytest.mark.parametrize(
    ("num_examples", "batch_size"),
    [(1, 3), (2, 1), (5, 2), (12, 30), (97, 10), (1797, 64)],
)
def test_each_epoch_has_every_example_once(num_examples, batch_size):
    """Batches cross epochs, and may be longer than several."""
    steps = -(-3 * num_examples // batch_size)
    indices = stream(KEY, jnp.arange(steps), num_examples, batch_size)
    assert indices.dtype == jnp.int32
    epochs = np.asarray(indices)[: 3 * num_examples].reshape(3, num_examples)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(num_examples))
    if num_examples > 50:
        assert (epochs[0] != epochs[1]).mean() > 0.9
        other = stream(jax.random.PRNGKey(1), jnp.arange(steps), num_examples, batch_size)
        assert (np.asarray(other) != np.asarray(indices)).mean() > 0.9


def test_the_whole_of_mnist():
    epoch = np.asarray(stream(KEY, jnp.arange(70), 70_000, 1000))
    np.testing.assert_array_equal(np.sort(epoch), np.arange(70_000))


def test_the_stream_does_not_depend_on_the_batch_size():
    np.testing.assert_array_equal(
        stream(KEY, jnp.arange(30), 97, 7), stream(KEY, jnp.arange(6), 97, 35)
    )


def test_going_on_in_the_middle_of_an_epoch_is_the_same_stream():
    """Also compiled into a loop, whose step is traced, under vmap, and with newer keys."""

    @jax.jit
    def collect(start):
        def body(i, seen):
            return seen.at[i - start].set(shuffled_batch(KEY, i, 97, 10))

        return jax.lax.fori_loop(start, start + 15, body, jnp.zeros((15, 10), jnp.int32))

    whole = np.asarray(stream(KEY, jnp.arange(20), 97, 10)).reshape(20, 10)
    np.testing.assert_array_equal(collect(5), whole[5:])
    key = jax.random.wrap_key_data(KEY)
    mapped = jax.vmap(lambda step: shuffled_batch(key, step, 97, 10))(jnp.arange(12, 14))
    np.testing.assert_array_equal(mapped, whole[12:14])


@given(
    step=st.integers(0, 2**31 - 1),
    num_examples=st.integers(1, MAX_EXAMPLES),
    batch_size=st.integers(1, MAX_EXAMPLES),
)
@example(2**31 - 1, MAX_EXAMPLES, MAX_EXAMPLES)
@example(2**31 - 1, MAX_EXAMPLES - 1, MAX_EXAMPLES - 1)
@example(2**31 - 1, 1, MAX_EXAMPLES)
@example(2**31 - 1, 70_000, 64)
@settings(deadline=None, max_examples=30)
def test_positions_do_not_overflow(step, num_examples, batch_size):
    epoch, place = _start(np.int32(step), num_examples, batch_size)
    assert int(place) == step * batch_size % num_examples
    assert int(epoch) == step * batch_size // num_examples % 2**32


@pytest.mark.parametrize("num_examples", [MAX_EXAMPLES, MAX_EXAMPLES - 1])
def test_the_largest_sets(num_examples):
    batch = np.asarray(shuffled_batch(KEY, jnp.int32(2**31 - 1), num_examples, 1000))
    assert 0 <= batch.min() < num_examples // 50
    assert num_examples - num_examples // 50 < batch.max() < num_examples
    assert len(np.unique(batch)) == 1000


@pytest.mark.parametrize(("n", "b"), [(0, 1), (1, 0), (MAX_EXAMPLES + 1, 1), (1, MAX_EXAMPLES + 1)])
def test_out_of_range(n, b):
    with pytest.raises(ValueError, match="must lie in"):
        shuffled_batch(KEY, jnp.int32(0), n, b)


def p_value(counts, cells):
    """Of the chi-square test of equal chances, with cells that were never hit."""
    counts = np.concatenate([counts, np.zeros(cells - len(counts))])
    return scipy.stats.chisquare(counts).pvalue


@pytest.mark.parametrize("num_examples", [5, 6])
def test_all_orders_are_equally_likely(num_examples):
    """Of the smallest sets, whose few pairs mix the slowest: 6 rounds would not pass."""
    drawn = orders(KEY, num_examples, 300_000)
    _, counts = np.unique(drawn @ num_examples ** np.arange(num_examples), return_counts=True)
    assert p_value(counts, math.factorial(num_examples)) > 1e-4


@pytest.mark.parametrize("source", ["shuffled_batch", "jax.random.permutation"])
def test_an_order_looks_drawn(source):
    """Statistics of long orders, each beside those of `jax.random.permutation`."""
    n, count = 9801, 40  # 99 x 99: only even orders, were both sides of a pair odd
    if source == "shuffled_batch":
        drawn = orders(KEY, n, count)
    else:
        keys = jax.random.split(KEY, count)
        drawn = np.asarray(jax.vmap(lambda key: jax.random.permutation(key, n))(keys))
    # Place and example are independent, near ones too, and so are epochs that follow.
    cells = (np.arange(n) * 50 // n) * 50 + drawn * 50 // n
    assert p_value(np.bincount(cells.ravel()), 2500) > 1e-4
    steps = (drawn[:, 1:] - drawn[:, :-1]) % n
    assert p_value(np.bincount(steps.ravel() * 100 // n), 100) > 1e-4
    pairs = (drawn[:, 1:] % 40) * 40 + drawn[:, :-1] % 40
    assert p_value(np.bincount(pairs.ravel()), 1600) > 1e-4
    epochs = (drawn[1:] * 40 // n) * 40 + drawn[:-1] * 40 // n
    assert p_value(np.bincount(epochs.ravel()), 1600) > 1e-4
    fixed = (drawn == np.arange(n)).sum()  # Poisson, 1 an order
    assert abs(fixed - count) < 4 * math.sqrt(count)
    # Even and odd orders alike, by their number of cycles.
    assert 8 <= sum((n - num_cycles(order)) % 2 for order in drawn) <= 32


def num_cycles(order):
    seen, cycles = np.zeros(len(order), bool), 0
    for start in range(len(order)):
        cycles += not seen[start]
        while not seen[start]:
            seen[start] = True
            start = order[start]
    return cycles


ON_A_HOST = """
import sys
import jax, jax.numpy as jnp, numpy as np
from dfm_flax.data.shuffling import shuffled_batch
from dfm_flax.training.step import DEVICES, shard

port, host, hosts = sys.argv[1:]
if int(hosts) > 1:
    jax.distributed.initialize(f"localhost:{port}", int(hosts), int(host))

def parts(_, first):
    def body(i, seen):
        return seen.at[i].set(shard(shuffled_batch(jax.random.PRNGKey(0), first + i, 90, 12)))
    return jax.lax.fori_loop(0, 15, body, jnp.zeros((15, 12 // jax.device_count()), jnp.int32))

local = jax.local_device_count()
seen = jax.pmap(parts, axis_name=DEVICES, in_axes=(0, None))(np.arange(local), jnp.int32(0))
for piece in seen.addressable_shards:
    print(piece.device.id, *np.asarray(piece.data).ravel())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("hosts", "devices"), [(1, 4), (2, 2)])
def test_devices_and_hosts_see_every_example_once(hosts, devices):
    """15 batches of 12 are two epochs of 90; hosts are processes of their own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }
    processes = [
        fork_server.Popen(
            [sys.executable, "-c", ON_A_HOST, port, host, hosts],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for host in range(hosts)
    ]
    lines = [
        line for process in processes for line in process.communicate(timeout=120)[0].splitlines()
    ]
    parts = dict(sorted((int(line.split()[0]), line.split()[1:]) for line in lines))
    assert len(parts) == hosts * devices
    batches = np.concatenate(
        [np.array(part, int).reshape(15, -1) for part in parts.values()], axis=1
    )
    np.testing.assert_array_equal(batches.ravel(), stream(KEY, jnp.arange(15), 90, 12))
    for epoch in batches.reshape(2, 90):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(90))


@pytest.mark.parametrize(("num_examples", "batch_size"), [(1, 3), (2, 1), (97, 10), (70_000, 64)])
def test_the_host_has_the_order_of_the_devices(num_examples, batch_size):
    steps = np.arange(3 * -(-num_examples // batch_size))[-500:]
    positions = (steps[:, None] * batch_size + np.arange(batch_size)).reshape(-1)
    order = HostOrder.create(KEY, num_examples, int(positions[-1]) + 1)
    expected = stream(KEY, jnp.asarray(steps), num_examples, batch_size)
    np.testing.assert_array_equal(order(positions), expected)
    assert len(order.keys) == -(-(positions[-1] + 1) // num_examples)
