"""Runs in one process with the devices it finds; tests/test_devices.py repeats it on more."""

import functools

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.fourier import fourier_series
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import (
    DEVICES,
    PRECISIONS,
    at_precision,
    check_divides,
    check_precision,
    first_replica,
    make_step,
    make_train_steps,
    of_all_devices,
    over_machines,
    replicate,
    rounded_up,
    shard,
)


@flax.struct.dataclass
class Rows:
    """A feed of random rows."""

    rows: jax.Array

    def draw(self, rng, step):
        return jax.random.randint(rng, (BATCH,), 0, len(self.rows))

    def at(self, drawn):
        return self.rows[drawn]


def quadratic_loss(params, batch, rng):
    """Distance of the parameters to a batch of rows."""
    loss = jnp.mean((params["w"] - batch) ** 2)
    return loss, {"largest": jnp.max(batch)}


BATCH = 60  # divides over 1 to 6 devices
OPTIMIZER = optax.adam(0.05)
STEP = over_machines(make_step(quadratic_loss, OPTIMIZER))


def initial(seeds=(0,)):
    def create(seed):
        rng = jax.random.PRNGKey(seed)
        return TrainState.create(rng, {"w": jax.random.normal(rng, (3,))}, OPTIMIZER)

    axes = TrainState.of_machines()
    return jax.tree.map(np.array, jax.vmap(create, out_axes=axes)(np.array(seeds, np.uint32)))


def data(machines=1):
    return np.random.default_rng(0).normal(size=(machines, 100, 3)).astype(np.float32)


@functools.cache
def train_steps():
    """Compiled once for all tests here."""
    return make_train_steps(STEP)


def run(state, rows, counts):
    state, feed = replicate(state), replicate(Rows(rows))
    losses = []
    for count in counts:
        state, metrics, first_bad, finite = train_steps()(state, feed, np.int32(count))
        losses.append(np.asarray(metrics["loss"]))
    return first_replica(state), losses, np.asarray(first_bad), bool(finite)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.devices
def test_a_loss_of_the_whole_batch_has_the_gradient_of_one_device():
    """The variance of what a batch becomes is no mean over its parts."""
    devices = jax.local_device_count()
    batch = np.random.default_rng(0).normal(size=(12 * devices, 3)).astype(np.float32)
    w = np.array([0.3, -0.2, 0.5], np.float32)

    def loss(w, rows):
        return jnp.var(of_all_devices(rows + w * rows**2))

    def step(_, batch):
        value, gradient = jax.value_and_grad(loss)(w, shard(batch))
        return jax.lax.pmean((value, gradient), DEVICES)

    expected = jax.value_and_grad(loss)(w, batch)  # outside of a step the batch is whole
    found = jax.pmap(step, axis_name=DEVICES, in_axes=(0, None))(np.arange(devices), batch)
    for one, whole in zip(found, expected, strict=True):
        for of_a_device in np.asarray(one):
            np.testing.assert_allclose(of_a_device, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.devices
def test_many_steps_a_dispatch_are_the_same_steps_as_one_a_dispatch():
    together, losses, _, _ = run(initial(), data(), [12])
    one_by_one, single_losses, _, _ = run(initial(), data(), [1] * 12)
    assert together.step == 12
    assert_equal(together, one_by_one)
    np.testing.assert_allclose(losses[0], np.mean(single_losses, axis=0), rtol=1e-6)


@pytest.mark.devices
def test_steps_are_those_of_a_plain_loop():
    """Against optax in an ordinary Python loop on the whole batch, without any mapping."""
    rows, state = data()[0], initial()
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), state.params)
    opt_state = OPTIMIZER.init(params)

    @jax.jit
    def step(params, opt_state, i):
        index = jax.random.randint(jax.random.fold_in(state.rng[0], i), (BATCH,), 0, len(rows))
        gradients = jax.grad(lambda p: jnp.mean((p["w"] - jnp.asarray(rows)[index]) ** 2))(params)
        updates, opt_state = OPTIMIZER.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    for i in range(5):
        params, opt_state = step(params, opt_state, i)
    trained, *_ = run(initial(), data(), [5])
    np.testing.assert_allclose(trained.params["w"][0], params["w"], rtol=1e-5)


@pytest.mark.devices
def test_machines_trained_together_are_those_trained_alone():
    rows = data(3)
    together, *_ = run(initial((4, 5, 6)), rows, [10])
    for i, seed in enumerate((4, 5, 6)):
        alone, *_ = run(initial((seed,)), rows[i : i + 1], [10])
        np.testing.assert_allclose(together.params["w"][i], alone.params["w"][0], rtol=1e-5)


@pytest.mark.devices
def test_the_first_step_with_a_bad_loss_is_named_for_its_machine():
    rows = data(2)
    rows[1, 7] = np.nan  # drawn sooner or later
    state = initial((0, 1))
    expected = next(
        i
        for i in range(100)
        if 7 in jax.random.randint(jax.random.fold_in(state.rng[1], i), (BATCH,), 0, 100)
    )
    _, _, first_bad, finite = run(state, rows, [20])
    np.testing.assert_array_equal(first_bad, [-1, expected])
    assert not finite


@pytest.mark.devices
def test_each_device_works_on_its_part_of_the_batch():
    """Each device's part of the batch has 1/D of it, and together they are the batch."""
    devices = jax.local_device_count()
    parts = jax.pmap(lambda _, batch: shard(batch), axis_name=DEVICES, in_axes=(0, None))
    batch = np.arange(8 * devices)
    np.testing.assert_array_equal(parts(np.arange(devices), batch), batch.reshape(devices, 8))


@pytest.mark.parametrize("devices", [1, 2, 3, 4])
def test_shards_are_the_parts_of_a_batch_in_order(devices):
    """Of as many devices as there may be, with an axis of vmap in place of them."""
    batch = np.arange(24).reshape(12, 2)
    parts = jax.vmap(lambda _: shard(jnp.asarray(batch)), axis_name=DEVICES)(np.arange(devices))
    np.testing.assert_array_equal(parts, batch.reshape(devices, -1, 2))


@pytest.mark.parametrize("devices", [1, 2, 3, 4])
def test_a_step_on_many_devices_is_that_on_one(devices):
    """Likewise: each of them ends with the parameters of the whole batch's gradient."""
    rows = data()[0]
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]) if leaf.ndim else leaf, initial())
    step = make_step(quadratic_loss, OPTIMIZER)
    trained, metrics = jax.vmap(lambda _: step(state, Rows(jnp.asarray(rows))), axis_name=DEVICES)(
        np.arange(devices)
    )
    index = jax.random.randint(jax.random.fold_in(state.rng, 0), (BATCH,), 0, len(rows))
    loss, gradients = jax.value_and_grad(lambda p: jnp.mean((p["w"] - rows[index]) ** 2))(
        state.params
    )
    updates, _ = OPTIMIZER.update(gradients, state.opt_state, state.params)
    expected = optax.apply_updates(state.params, updates)["w"]
    for device in range(devices):
        np.testing.assert_allclose(trained.params["w"][device], expected, rtol=1e-5)
        np.testing.assert_allclose(metrics["loss"][device], loss, rtol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_and_its_gradients_have_the_precision_asked_for(precisions, precision):
    def loss(params, batch, rng):
        y = fourier_series(batch, params["w"]) ** 2
        return jnp.mean(y @ jnp.ones((3, 2))), {}

    params = {"w": jnp.ones((15, 3))}
    state = TrainState.create(jax.random.key(0), params, OPTIMIZER)
    step = at_precision(make_step(loss, OPTIMIZER), precision)
    rows = Rows(jnp.asarray(data()[0]))
    found = precisions(lambda _: step(state, rows), jnp.zeros(2), axis_env=[(DEVICES, 1)])
    assert found == {precision.upper(), "HIGHEST"}  # some are exact, as they must be


def test_a_precision_that_there_is_not_is_refused():
    check_precision("high")
    with pytest.raises(UsageError, match="'tf32' is not one of default, high, highest"):
        check_precision("tf32")


def test_keys_may_be_raw_or_not():
    raw, typed = (
        TrainState.create(key(5), {"w": np.zeros(3)}, OPTIMIZER)
        for key in (jax.random.PRNGKey, jax.random.key)
    )
    np.testing.assert_array_equal(raw.rng, typed.rng)


@pytest.mark.parametrize(
    ("devices", "batch"), [(1, 6400), (2, 6400), (4, 6400), (3, 6402), (6, 6402), (7, 6405)]
)
def test_a_batch_is_rounded_up_to_what_divides(devices, batch):
    assert rounded_up(6400, devices) == batch


@pytest.mark.parametrize(
    ("batch", "devices", "message"),
    [(65, 2, "64 or 66"), (1, 4, "batch_size=4"), (0, 2, "batch_size=2"), (-4, 2, "batch_size=2")],
)
def test_batches_that_do_not_divide_are_refused(batch, devices, message):
    with pytest.raises(UsageError, match=message):
        check_divides(batch, devices)
    check_divides(64, 4)


@pytest.mark.devices
def test_a_replica_is_a_copy():
    tree = {"a": np.arange(3.0)}
    replicas = replicate(tree)
    assert replicas["a"].shape == (jax.local_device_count(), 3)
    copy = first_replica(replicas)
    assert copy["a"].flags.owndata
    np.testing.assert_array_equal(copy["a"], tree["a"])
