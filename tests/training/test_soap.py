"""SOAP against an independent NumPy reference, alone and under vmap."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfm_flax.training.soap import scale_by_soap, soap

B1, B2, DECAY, EVERY = 0.9, 0.98, 0.95, 3
OPTIONS = {"b1": B1, "b2": B2, "shampoo_decay": DECAY, "refresh_every": EVERY}


def _reference(gradients, max_size):
    """Directions for the gradients [steps, rows, columns], in float64."""
    rows, columns = gradients.shape[1:]
    left, right = np.zeros((rows, rows)), np.zeros((columns, columns))
    p, q = np.eye(rows), np.eye(columns)
    mean, square = np.zeros((rows, columns)), np.zeros((rows, columns))
    directions = []
    for t, g in enumerate(gradients, start=1):
        left = DECAY * left + (1 - DECAY) * g @ g.T
        right = DECAY * right + (1 - DECAY) * g.T @ g
        if (t - 1) % EVERY == 0:
            p = np.linalg.qr(left @ p)[0] if rows <= max_size else p
            q = np.linalg.qr(right @ q)[0] if columns <= max_size else q
        mean = B1 * mean + (1 - B1) * g
        square = B2 * square + (1 - B2) * (p.T @ g @ q) ** 2
        step = (p.T @ mean @ q / (1 - B1**t)) / np.sqrt(square / (1 - B2**t))
        directions.append(p @ step @ q.T)
    return np.stack(directions)


def _gradients(rows=4):
    # Directions without any gradient would only get rounding errors, scaled up: so 4x4, or no L.
    return np.random.default_rng(0).normal(size=(8, rows, 4)) * np.array([10, 3, 1, 0.3])


def _run(optimizer, gradients, **extra):
    state = optimizer.init(jnp.zeros(gradients.shape[1:]))
    directions = []
    for g in jnp.asarray(gradients, jnp.float32):
        direction, state = optimizer.update(g, state, **extra)
        directions.append(direction)
    return np.stack(directions)


@pytest.mark.parametrize(("rows", "max_size"), [(4, 4), (9, 4), (4, 3)])
def test_matches_the_reference(rows, max_size):
    directions = _run(scale_by_soap(max_size=max_size, **OPTIONS), _gradients(rows))
    np.testing.assert_allclose(directions, _reference(_gradients(rows), max_size), atol=2e-3)


def test_is_adam_without_preconditioners():
    vectors = _gradients()[:, 0]
    adam = _run(optax.scale_by_adam(B1, B2), vectors)
    np.testing.assert_allclose(_run(scale_by_soap(**OPTIONS), vectors), adam, atol=1e-5)
    matrices = _run(scale_by_soap(max_size=1, **OPTIONS), _gradients())
    np.testing.assert_allclose(matrices, _run(optax.scale_by_adam(B1, B2), _gradients()), atol=1e-5)


def test_under_vmap_each_machine_is_on_its_own_and_the_refresh_stays_conditional():
    optimizer = scale_by_soap(**OPTIONS)
    both = jnp.asarray(np.stack([_gradients(), 3 * _gradients()[::-1]]), jnp.float32)
    state = jax.vmap(optimizer.init)(jnp.zeros((2, 4, 4)))

    def update(g, state, step):
        return jax.vmap(lambda g, s: optimizer.update(g, s, step=step))(g, state)

    assert " cond[" in str(jax.make_jaxpr(update)(both[:, 0], state, jnp.int32(0)))
    for step in range(8):
        directions, state = jax.jit(update)(both[:, step], state, jnp.int32(step))
    for machine in range(2):
        alone = _run(optimizer, both[machine])[-1]
        np.testing.assert_allclose(directions[machine], alone, atol=2e-3)


def test_many_machines_give_lapack_one_matrix_at_a_time():
    # Batches of several layers at once wait for each other's threads (jaxlib 0.10), now and then.
    optimizer = scale_by_soap(**OPTIONS)
    states = jax.vmap(optimizer.init)(jnp.zeros((3, 4, 4)))
    step = jax.vmap(lambda g, state: optimizer.update(g, state, step=0))
    lowered = jax.jit(step).lower(jnp.ones((3, 4, 4)), states).as_text()
    operands = re.findall(r"custom_call @lapack_sgeqrf_ffi.* : \(tensor<([0-9x]+)xf32>", lowered)
    assert set(operands) == {"4x4"}


def test_minimizes_a_rotated_quadratic_that_adam_finds_hard():
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    matrix = jnp.asarray(rotation @ np.diag(10.0 ** -np.arange(6)) @ rotation.T, jnp.float32)
    start = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32)

    def final_loss(make_optimizer):
        optimizer = make_optimizer(optax.cosine_decay_schedule(0.1, 200))

        def loss(x):
            return jnp.sum(x * (matrix @ x))

        def step(_, carry):
            x, state = carry
            updates, state = optimizer.update(jax.grad(loss)(x), state, x)
            return optax.apply_updates(x, updates), state

        return loss(jax.lax.fori_loop(0, 200, step, (start, optimizer.init(start)))[0])

    assert final_loss(soap) < 0.1 * final_loss(optax.adam)


def test_a_sudden_gradient_moves_no_further_than_the_learning_rate():
    optimizer = soap(0.1, **OPTIONS)
    # Ten equal ones after small ones: first moments catch up faster than second ones.
    small = 1e-3 * np.tile(_gradients()[:, 0], (12, 1))
    gradients = np.concatenate([small, np.full((10, 4), 10.0)])
    updates = _run(optimizer, gradients)
    assert np.sqrt(np.mean(updates**2, axis=1)).max() <= 0.1 * (1 + 1e-5)
    unclipped = _run(scale_by_soap(**OPTIONS), gradients)
    assert np.sqrt(np.mean(unclipped**2, axis=1)).max() > 1.2
