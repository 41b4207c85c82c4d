"""The distance of latents from N(0, I), against its definition, and what it does to latents."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from dfm_flax.generation.cramer_wold import cramer_wold_distance

SIZE = 32


def by_lines(latents):
    """The squared distance of smoothed densities along random lines, integrated numerically."""
    num, size = latents.shape
    variance = (4 / (3 * num)) ** 0.4
    directions = np.random.default_rng(0).normal(size=(size, 400))
    directions /= np.linalg.norm(directions, axis=0)
    along = latents.astype(float) @ directions
    x = np.linspace(-12, 12, 481)
    target = scipy.stats.norm(0, np.sqrt(1 + variance)).pdf(x)
    found = []
    for places in along.T:
        seen = scipy.stats.norm(places[:, None], np.sqrt(variance)).pdf(x).mean(axis=0)
        found.append(np.sum((seen - target) ** 2) * (x[1] - x[0]))
    return 2 * np.sqrt(np.pi) * np.mean(found)


@pytest.mark.parametrize(
    "latents",
    [
        np.zeros((24, SIZE)),
        np.random.default_rng(1).normal(size=(24, SIZE)),
        2 + 0.3 * np.random.default_rng(2).normal(size=(24, SIZE)),
        np.random.default_rng(3).choice([-2.0, 2.0], size=(24, 1)) * np.ones(SIZE),
    ],
    ids=["one place", "normal", "elsewhere", "two places"],
)
def test_it_is_a_mean_over_lines(latents):
    expected = by_lines(latents)
    found = cramer_wold_distance(latents.astype(np.float32))
    assert found == pytest.approx(expected, rel=0.05, abs=0.01)


def test_it_orders_what_is_further():
    """Draws from N(0, I) are nearest; all else that has their mean or variance is further."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(256, SIZE)).astype(np.float32)
    along_few = draws @ np.diag([np.sqrt(SIZE / 2)] * 2 + [0] * (SIZE - 2)).astype(np.float32)
    least = cramer_wold_distance(draws)
    for other in (draws + 0.3, 1.3 * draws, draws / 1.3, np.sign(draws[:, :1]) * abs(draws)):
        assert cramer_wold_distance(other.astype(np.float32)) > 1.02 * least
    assert cramer_wold_distance(along_few) > 1.5 * least


def test_latents_that_follow_it_spread_like_draws_of_the_normal():
    """From one narrow cloud beside it, by Adam alone."""
    start = 1 + 0.1 * np.random.default_rng(0).normal(size=(128, 12)).astype(np.float32)
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 1_000))

    @jax.jit
    def step(carry, _):
        latents, state = carry
        updates, state = optimizer.update(jax.grad(cramer_wold_distance)(latents), state)
        return (optax.apply_updates(latents, updates), state), None

    start = jnp.asarray(start)
    (latents, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=1_000)
    latents = np.asarray(latents, float)
    np.testing.assert_allclose(latents.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(np.cov(latents.T), np.eye(12), atol=0.35)


def test_equal_latents_have_a_gradient():
    """The distance between two of them is 0, where a square root would have none."""
    gradient = jax.grad(cramer_wold_distance)(jnp.ones((4, SIZE)))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
