"""Batches of images, and the step that trains a generator on them.

Runs in one process with the devices it finds; tests/test_devices.py repeats it on more.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfm_flax.data.image_source import ImageSet, MemorySource
from dfm_flax.data.shuffling import shuffled_batch
from dfm_flax.generation import feed as feeds
from dfm_flax.generation.feed import ImageFeed, ImageStream
from dfm_flax.training.feeding import opened
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import first_replica, make_step, make_train_steps, replicate
from dfm_flax.training.table import LatentTable, TableOptimizer

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 2, 3, 1), np.uint8)
OPTIMIZER = optax.sgd(0.1)
BATCH = 12  # divides over 1 to 4 devices
ORDER = jax.random.PRNGKey(7)


def linear_loss(params, batch, rng):
    """Images as a linear function of two latents; with a table or, without, from two pixels."""
    pixels = batch.images.reshape(len(batch.images), -1)
    latents = pixels[:, :2] if batch.latents is None else batch.latents
    error = latents @ params["w"] + 0.1 * batch.noise[:, :1] - pixels
    if rng is not None:
        error += 0.1 * jax.random.normal(rng, (6,))
    return jnp.mean(error**2), {"brightness": jnp.mean(pixels)}


def initial(table=True, averaged=True):
    rng = jax.random.PRNGKey(3)
    latents = LatentTable.create(rng, len(IMAGES), 2, 1.0) if table else None
    params = {"w": np.ones((2, 6), np.float32)}
    state = TrainState.create(rng, params, OPTIMIZER, averaged=averaged, table=latents)
    return jax.tree.map(np.array, state)


ROWS = TableOptimizer(optax.constant_schedule(0.01), 0.9, 0.999)


SOURCE = MemorySource(ImageSet("noise", IMAGES, np.zeros(60, np.int32), 1))


def run_stream(state, num_steps, workers=0, log_every=20):
    """The state after so many steps more, of images that are streamed."""
    start = int(state.step)
    stream = ImageStream(SOURCE, ORDER, BATCH, 2, start + num_steps, log_every, workers)
    state, pieces = replicate(state), []
    with opened(stream, start) as feeding:
        state, *_ = train_steps()(state, feeding.example, np.int32(0))  # takes no step
        while num_steps:
            feed, count = feeding.next(min(num_steps, log_every))
            state, *_ = train_steps()(state, feed, np.int32(count))
            pieces.append(count)
            num_steps -= count
    return first_replica(state), pieces


@pytest.mark.devices
def test_a_stream_trains_to_the_same_bits(monkeypatch):
    """In pieces of many steps and of few, from the start and from the middle of an epoch."""
    expected, _ = run(initial(averaged=False), [18])
    whole, pieces = run_stream(initial(averaged=False), 18)
    assert pieces == [18]
    jax.tree.map(np.testing.assert_array_equal, whole, expected)
    monkeypatch.setattr(feeds, "_BYTES_AT_ONCE", BATCH * IMAGES[0].size * 7)
    halfway, pieces = run_stream(initial(averaged=False), 7)
    assert pieces == [7]  # of 20 steps, brought in 3 pieces of 7
    ended, pieces = run_stream(halfway, 11)
    assert pieces == [7, 4]
    jax.tree.map(np.testing.assert_array_equal, ended, expected)


@functools.cache
def train_steps(**options):
    """Compiled once for all tests here."""
    step = make_step(linear_loss, OPTIMIZER, **{"table_optimizer": ROWS} | options)
    return make_train_steps(step)


def run(state, counts, **options):
    state, feed = replicate(state), replicate(ImageFeed(IMAGES, ORDER, BATCH, 2))
    seen = []
    for count in counts:
        state, metrics, _, _ = train_steps(**options)(state, feed, np.int32(count))
        seen.append({name: float(value) for name, value in metrics.items()})
    return first_replica(state), seen


@pytest.mark.devices
def test_steps_are_those_of_a_plain_loop():
    """Against the whole batch in an ordinary Python loop, without any mapping."""
    state = initial()
    trained, metrics = run(state, [1] * 15, ema_decay=0.5)
    params, ema, table = state.params, state.params, jax.tree.map(jnp.array, state.table)
    feed = ImageFeed(jnp.asarray(IMAGES), ORDER, BATCH, 2)
    update = jax.jit(lambda table, index, d_rows: table.update(index, d_rows, 0.01, 0.9, 0.999))

    @jax.jit
    def loss_and_gradients(params, rows, batch, rng):
        def of(params, rows):
            return linear_loss(params, batch.replace(latents=rows), rng)

        return jax.value_and_grad(of, argnums=(0, 1), has_aux=True)(params, rows)

    for i in range(15):
        rng = jax.random.fold_in(state.rng, i)
        drawn = feed.draw(rng, np.int32(i))
        np.testing.assert_array_equal(
            drawn.index, shuffled_batch(ORDER, np.int32(i), len(IMAGES), BATCH)
        )
        batch = feed.at(drawn)
        np.testing.assert_allclose(batch.images, IMAGES[drawn.index] / 127.5 - 1, atol=1e-6)
        (loss, _), gradients = loss_and_gradients(params, table.latents[drawn.index], batch, rng)
        np.testing.assert_allclose(metrics[i]["loss"], loss, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(metrics[i]["brightness"], np.mean(batch.images), rtol=1e-5)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients[0])
        table = update(table, drawn.index, gradients[1])
        keep = min(0.5, (1 + i) / (10 + i))
        ema = jax.tree.map(lambda e, p, keep=keep: keep * e + (1 - keep) * p, ema, params)
    np.testing.assert_allclose(trained.params["w"], params["w"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(trained.ema["w"], ema["w"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(trained.table.latents, table.latents, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(trained.table.updates, table.updates)


@pytest.mark.devices
def test_a_dense_table_is_a_parameter_of_optax():
    """As with all latents as a parameter of `optax.adam`, at a falling learning rate."""
    state, learning_rate = initial(), optax.linear_schedule(0.05, 1e-7, 40)
    dense = TableOptimizer(learning_rate, 0.9, 0.999, dense=True)
    trained, _ = run(state, [37], table_optimizer=dense)
    latents_seen = dense.latents(trained.table, trained.step, np.arange(len(IMAGES)))

    adam = optax.adam(learning_rate)
    params, latents = state.params, jnp.asarray(state.table.latents)
    adam_state = adam.init(latents)
    feed = ImageFeed(jnp.asarray(IMAGES), ORDER, BATCH, 2)

    @jax.jit
    def step(params, latents, adam_state, i):
        rng = jax.random.fold_in(state.rng, i)
        drawn = feed.draw(rng, i)
        batch = feed.at(drawn)

        def of(params, latents):
            return linear_loss(params, batch.replace(latents=latents[drawn.index]), rng)

        gradients, _ = jax.grad(of, argnums=(0, 1), has_aux=True)(params, latents)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients[0])
        updates, adam_state = adam.update(gradients[1], adam_state)
        return params, optax.apply_updates(latents, updates), adam_state

    for i in range(37):
        params, latents, adam_state = step(params, latents, adam_state, np.int32(i))
    assert np.abs(latents - state.table.latents).max() > 0.2
    np.testing.assert_allclose(latents_seen, latents, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(trained.params["w"], params["w"], rtol=1e-4, atol=1e-5)


@pytest.mark.devices
def test_noise_is_new_at_each_step_and_standard_normal():
    feed = ImageFeed(jnp.asarray(IMAGES), ORDER, 5_000, 3)
    noise = [feed.draw(jax.random.PRNGKey(i), np.int32(0)).noise for i in range(2)]
    assert noise[0].shape == (5_000, 3)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05
    np.testing.assert_allclose([np.mean(noise[0]), np.std(noise[0])], [0, 1], atol=0.05)


def test_no_step_has_the_random_numbers_of_another():
    """Of the feed, and of the loss; a run that goes on has those that it would have had."""

    def spread(params, batch, rng):
        seen = {"loss": jax.random.uniform(rng), "fed": batch.noise.mean()}
        return jnp.sum(0 * params["w"]), seen

    spreading = make_train_steps(make_step(spread, OPTIMIZER))
    state, feed = replicate(initial(table=False)), replicate(ImageFeed(IMAGES, ORDER, BATCH, 2))
    seen = []
    for _ in range(8):
        state, metrics, _, _ = spreading(state, feed, np.int32(1))
        seen.append((float(metrics["loss"]), float(metrics["fed"])))
    for numbers in zip(*seen, strict=True):
        assert len(set(numbers)) == 8


@pytest.mark.devices
def test_an_epoch_updates_each_row_once():
    state, _ = run(initial(), [15])  # 180 images: 3 epochs of 60
    np.testing.assert_array_equal(state.table.updates, 3)


@pytest.mark.devices
def test_many_steps_a_dispatch_are_the_same_steps_as_one_a_dispatch():
    together, _ = run(initial(), [12])
    one_by_one, _ = run(initial(), [1] * 12)
    jax.tree.map(np.testing.assert_array_equal, together, one_by_one)


def test_images_are_drawn_with_the_average_where_there_is_one():
    state, _ = run(initial(table=False), [20], ema_decay=0.9)
    assert state.table is None
    assert state.averaged_params is state.ema
    assert not np.array_equal(state.ema["w"], state.params["w"])
    state, _ = run(initial(averaged=False), [2])
    assert state.averaged_params is state.params
