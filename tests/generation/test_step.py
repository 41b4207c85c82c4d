"""Runs in one process with the devices it finds; tests/test_devices.py repeats it on 2 and 4."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dfm_flax.data.shuffling import shuffled_batch
from dfm_flax.generation.step import GenerationState, make_generation_step
from dfm_flax.training.step import first_replica, make_train_steps, replicate
from dfm_flax.training.table import LatentTable

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 2, 3, 1), np.uint8)
OPTIMIZER = optax.sgd(0.1)
BATCH = 10


def linear_loss(params, rows, images, rng):
    """Images as a linear function of two latents; with a table or, without, from two pixels."""
    latents = images.reshape(len(images), -1)[:, :2] if rows is None else rows
    error = latents @ params["w"] - images.reshape(len(images), -1)
    loss = jnp.mean(error**2)
    return loss, jnp.stack([loss, jnp.mean(images)])


def initial(table=True, ema=True):
    rng = jax.random.PRNGKey(3)
    params = {"w": np.ones((2, 6), np.float32)}
    latents = LatentTable.create(rng, len(IMAGES), 2, 1.0) if table else None
    return jax.tree.map(
        np.array,
        GenerationState(
            np.zeros((), np.int32),
            rng,
            params,
            OPTIMIZER.init(params),
            params if ema else None,
            latents,
        ),
    )


def run(state, counts, **options):
    step = make_generation_step(
        linear_loss, OPTIMIZER, BATCH, table_rate=optax.constant_schedule(0.01), **options
    )
    train_steps = make_train_steps(step)
    state, images = replicate(state), replicate(IMAGES)
    losses = []
    for count in counts:
        state, figures, _, _ = train_steps(state, images, np.int32(count))
        losses.append(np.asarray(figures))
    return first_replica(state), losses


def test_steps_are_those_of_a_plain_loop():
    """Against the whole batch in an ordinary Python loop, without any mapping."""
    state = initial()
    trained, figures = run(state, [1] * 15, ema_decay=0.5)
    params, ema, table = state.params, state.params, jax.tree.map(jnp.array, state.table)
    order_rng, _ = jax.random.split(state.rng)
    for i in range(15):
        index = shuffled_batch(order_rng, np.int32(i), len(IMAGES), BATCH)
        images = IMAGES[index] / 127.5 - 1
        gradients, expected = jax.grad(linear_loss, argnums=(0, 1), has_aux=True)(
            params, table.latents[index], images, None
        )
        np.testing.assert_allclose(figures[i], expected, rtol=1e-5, atol=1e-6)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients[0])
        table = table.update(index, gradients[1], 0.01, 0.9, 0.999)
        keep = min(0.5, (1 + i) / (10 + i))
        ema = jax.tree.map(lambda e, p, keep=keep: keep * e + (1 - keep) * p, ema, params)
    np.testing.assert_allclose(trained.params["w"], params["w"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(trained.ema["w"], ema["w"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(trained.table.latents, table.latents, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(trained.table.updates, table.updates)


def test_an_epoch_updates_each_row_once():
    state, _ = run(initial(), [15])  # 150 images: 3 epochs of 50
    np.testing.assert_array_equal(state.table.updates, 3)


def test_many_steps_a_dispatch_are_the_same_steps_as_one_a_dispatch():
    together, _ = run(initial(), [12])
    one_by_one, _ = run(initial(), [1] * 12)
    jax.tree.map(np.testing.assert_array_equal, together, one_by_one)


def test_images_are_drawn_with_the_average_where_there_is_one():
    state, _ = run(initial(table=False), [20], ema_decay=0.9)
    assert state.table is None
    assert state.averaged_params is state.ema
    assert not np.array_equal(state.ema["w"], state.params["w"])
    state, _ = run(initial(ema=False), [2])
    assert state.averaged_params is state.params
