"""Losses against their formulas, written out in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from jax.test_util import check_grads

from dfm_flax.config import load_config, override
from dfm_flax.generation import losses
from dfm_flax.generation.cramer_wold import cramer_wold_distance
from dfm_flax.generation.generator import ImageBatch, ImageShape, initial_params, make_generator

SHAPE = ImageShape(4, 5, 3)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (6, 4, 5, 3)).astype(np.float32)
ROWS = RNG.normal(size=(6, 2)).astype(np.float32)
NOISE = RNG.normal(size=(6, 2)).astype(np.float32)


def generator(name="dfm", *changes):
    config = load_config(f"base_generation:{name}")
    small = ["model.latent_size=2", "model.encoder_hidden=8", "model.hidden=8"]
    override(config, [*small, "model.activation=tanh"])
    if name == "dfm":
        machine = ("depth=2", "width=3", "variances=0.3,0.3,0.3", "max_frequencies=1,1,1")
        full = ("basis=full,full,full", "normalize=False", "extent=1")
        override(config, [f"model.machine.{change}" for change in (*machine, *full)])
        override(config, ["loss.latent_penalty=0.5", "loss.latent_noise=0", "model.variance=1"])
    override(config, changes)
    return make_generator(config, SHAPE)


def initial(model):
    return jax.jit(lambda rng: initial_params(model, rng, 2, SHAPE))(jax.random.PRNGKey(0))


def metrics_of(model, rows=ROWS, params=None, noise=NOISE, seeds=1):
    """The mean metrics of the loss, as it is, over some seeds; the model, its parameters."""
    params = initial(model) if params is None else params
    rows = None if rows is None else jnp.asarray(rows)
    batch = ImageBatch(jnp.asarray(IMAGES), jnp.asarray(noise), rows)
    rngs = jax.random.split(jax.random.PRNGKey(1), seeds)

    @jax.jit
    def of(rng):
        loss, metrics = model.loss(params, batch, rng)
        return {"loss": loss, **metrics}

    seen = jax.lax.map(of, rngs)
    return {name: float(np.mean(values, dtype=float)) for name, values in seen.items()}, params


def drawn(model, params, latents):
    index = jnp.arange(20)
    return np.asarray(
        model.apply({"params": params}, latents, index, 4, 5, method="decode"), float
    ).reshape(6, 4, 5, 3)


def test_equation_4_8():
    model = generator()
    metrics, params = metrics_of(model)
    colors = drawn(model, params, ROWS)
    total = 0.0
    for i in range(6):
        for y in range(4):
            for x in range(5):
                total += np.sum((IMAGES[i, y, x] - colors[i, y, x]) ** 2) / (6 * 20)
    penalty = 0.5 / 6 * sum(np.sum(z.astype(float) ** 2) for z in ROWS)
    assert metrics["loss"] == pytest.approx(total + penalty, rel=1e-5)
    assert metrics["penalty"] == pytest.approx(penalty, rel=1e-5)
    assert metrics["mse"] == pytest.approx(np.mean((IMAGES - colors) ** 2), rel=1e-5)


def test_the_loss_is_differentiable_as_it_is():
    """In the parameters and the rows of a table, against numerical derivatives."""
    model = generator()
    params = initial(model)

    def of(params, rows):
        return model.loss(
            params, ImageBatch(jnp.asarray(IMAGES), NOISE, rows), jax.random.PRNGKey(0)
        )[0]

    check_grads(of, (params, ROWS), order=1, modes="rev", atol=2e-2, rtol=2e-2)


def test_with_an_encoder_the_latents_are_its_own():
    model = generator()
    metrics, params = metrics_of(model, rows=None)
    latents = model.apply({"params": params}, IMAGES, method="encode")
    expected = np.mean((IMAGES - drawn(model, params, latents)) ** 2)
    assert metrics["mse"] == pytest.approx(expected, rel=1e-5)


def test_some_pixels_estimate_all_of_them():
    everything, _ = metrics_of(generator())
    once, _ = metrics_of(generator("dfm", "loss.num_pixels=5"))
    often, _ = metrics_of(generator("dfm", "loss.num_pixels=5"), seeds=2000)
    assert once["mse"] != pytest.approx(everything["mse"], rel=1e-3)
    assert often["mse"] == pytest.approx(everything["mse"], rel=0.01)


def test_jitter_of_no_pixel_is_no_jitter():
    calm, _ = metrics_of(generator())
    moved, _ = metrics_of(generator("dfm", "loss.jitter=1e-6"))
    far, _ = metrics_of(generator("dfm", "loss.jitter=0.5"))
    assert moved["mse"] == pytest.approx(calm["mse"], rel=1e-4)
    assert far["mse"] != pytest.approx(calm["mse"], rel=1e-3)


def test_noise_is_added_to_what_is_decoded_and_not_to_what_is_penalized():
    calm, params = metrics_of(generator())
    model = generator("dfm", "loss.latent_noise=2")
    noisy, _ = metrics_of(model)
    assert noisy["penalty"] == calm["penalty"]
    expected = np.mean((IMAGES - drawn(model, params, ROWS + 2 * NOISE)) ** 2)
    assert noisy["mse"] == pytest.approx(expected, rel=1e-5)


def test_the_distance_of_latents_from_the_normal_is_added():
    plain, _ = metrics_of(generator())
    weighted, _ = metrics_of(generator("dfm", "loss.cramer_wold=0.7"))
    distance = float(cramer_wold_distance(ROWS))
    assert "cramer_wold" not in plain
    assert weighted["cramer_wold"] == pytest.approx(distance, rel=1e-5)
    assert weighted["loss"] == pytest.approx(plain["loss"] + 0.7 * distance, rel=1e-5)


def test_a_bernoulli_bound_is_its_expectation():
    """With a constant posterior of one latent that moves nothing: nothing is random."""
    model = generator("vae")
    params = jax.tree.map(np.zeros_like, initial(model))
    logits = RNG.normal(size=60).astype(np.float32)
    params["decoder"]["mlp"]["layer_1"]["bias"] = logits
    params["encoder"]["mlp"]["layer_1"]["bias"] = np.array([0.7, -0.2, 0.4, -1.0], np.float32)
    metrics, _ = metrics_of(model, None, params)
    intensity, p = (IMAGES.reshape(6, 60).astype(float) + 1) / 2, 1 / (1 + np.exp(-logits))
    surprise = -np.sum(intensity * np.log(p) + (1 - intensity) * np.log(1 - p), axis=1).mean()
    divergence = sum(
        kullback_leibler(mean, np.exp(log_variance / 2))
        for mean, log_variance in ((0.7, 0.4), (-0.2, -1.0))
    )
    assert metrics["divergence"] == pytest.approx(divergence, rel=1e-4)
    assert metrics["loss"] == pytest.approx(surprise + divergence, rel=1e-5)
    assert metrics["mse"] == pytest.approx(np.mean((2 * (p - intensity)) ** 2), rel=1e-4)


def kullback_leibler(mean, deviation):
    """Of a normal from the standard normal, by numerical integration."""
    q, p = scipy.stats.norm(mean, deviation), scipy.stats.norm()
    return scipy.integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -9, 9)[0]


def test_a_gaussian_bound_has_the_learned_variance():
    model = generator("vae", "loss.likelihood=gaussian")
    params = jax.tree.map(np.zeros_like, initial(model))
    params["log_variance"] = np.float32(-0.8)
    metrics, _ = metrics_of(model, None, params)
    surprise = -scipy.stats.norm(0, np.exp(-0.4)).logpdf(IMAGES.astype(float)).sum((1, 2, 3))
    assert metrics["divergence"] == pytest.approx(0, abs=1e-6)
    assert metrics["loss"] == pytest.approx(surprise.mean(), rel=1e-5)


def test_what_a_vae_decodes_is_drawn_from_its_posterior():
    """mean + deviation * noise, with a decoder that is linear in the latents and small."""
    model = generator("vae")
    params = jax.tree.map(np.zeros_like, initial(model))
    params["encoder"]["mlp"]["layer_1"]["bias"] = np.array([0.7, -0.2, 0.9, -1.4], np.float32)
    kernel = RNG.normal(size=(2, 60)).astype(np.float32)
    params["decoder"]["mlp"]["layer_0"]["kernel"][:, :2] = 1e-3 * np.eye(2)
    params["decoder"]["mlp"]["layer_1"]["kernel"][:2] = 1e3 * kernel
    metrics, _ = metrics_of(model, None, params)
    latents = np.array([0.7, -0.2]) + np.exp(np.array([0.9, -1.4]) / 2) * NOISE
    logits = latents @ kernel
    expected = np.mean((np.tanh(logits / 2) - IMAGES.reshape(6, 60)) ** 2)
    assert metrics["mse"] == pytest.approx(expected, rel=1e-4)


def test_jitter_moves_to_both_sides_alike(monkeypatch):
    shifted, shifts = losses.shifted, []

    def look(index, shift, height, width):
        shifts.append(np.asarray(shift))
        return shifted(index, shift, height, width)

    monkeypatch.setattr(losses, "shifted", look)
    model = generator("dfm", "loss.jitter=0.3")
    params = initial(model)
    batch = ImageBatch(jnp.asarray(IMAGES), jnp.asarray(NOISE), jnp.asarray(ROWS))
    for seed in range(20):
        model.loss(params, batch, jax.random.PRNGKey(seed))
    shifts = np.concatenate(shifts)
    assert shifts.shape == (400, 2)
    np.testing.assert_allclose(shifts.min(axis=0), -0.3, atol=0.02)
    np.testing.assert_allclose(shifts.max(axis=0), 0.3, atol=0.02)
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.03)
