"""Losses against their formulas, written out in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.generation.losses import make_loss
from dfm_flax.generation.model import ImageShape, initial_params, make_generator
from dfm_flax.training.step import DEVICES

SHAPE = ImageShape(4, 5, 3)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (6, 4, 5, 3)).astype(np.float32)
ROWS = RNG.normal(size=(6, 2)).astype(np.float32)


def settings(name="dfm", latents="table", **changes):
    config = ConfigDict()
    config.model = {
        "name": name,
        "latent_size": 2,
        "latents": latents,
        "encoder_hidden": (8,),
        "hidden": (8,),
        "activation": "tanh",
        "initialization": "sane",
        "variance": 1.0,
        "machine": {"depth": 2, "width": 3, "variances": 0.3},
    }
    config.loss = {"latent_penalty": 0.5, "latent_noise": 0.0, "likelihood": "bernoulli"}
    config.training = {"batch_size": 6, "pixels": 0, "jitter": 0.0}
    config.update_from_flattened_dict(changes)
    return config


def evaluate(config, rows=ROWS, params_changes=None, seeds=1):
    """The mean figures of the loss on one device over some seeds, the model, its parameters."""
    model = make_generator(config.model, SHAPE, config.loss.likelihood)
    params = initial_params(model, jax.random.PRNGKey(0), 2, SHAPE) | (params_changes or {})
    loss, names = make_loss(model, config, SHAPE)
    rngs = jax.random.split(jax.random.PRNGKey(1), seeds)
    mapped = jax.pmap(
        lambda rows, images: jax.lax.map(lambda rng: loss(params, rows, images, rng)[1], rngs),
        axis_name=DEVICES,
        devices=jax.devices()[:1],
    )
    rows = None if rows is None else rows[None]
    figures = np.asarray(mapped(rows, IMAGES[None])[0], float).mean(axis=0)
    return dict(zip(names, figures, strict=True)), model, params


def drawn(model, params, latents):
    index = jnp.arange(20)
    return np.asarray(
        model.apply({"params": params}, latents, index, 4, 5, method="decode"), float
    ).reshape(6, 4, 5, 3)


def test_equation_4_8():
    figures, model, params = evaluate(settings())
    colors = drawn(model, params, ROWS)
    total = 0.0
    for i in range(6):
        for y in range(4):
            for x in range(5):
                total += np.sum((IMAGES[i, y, x] - colors[i, y, x]) ** 2) / (6 * 20)
    penalty = 0.5 / 6 * sum(np.sum(z.astype(float) ** 2) for z in ROWS)
    assert figures["loss"] == pytest.approx(total + penalty, rel=1e-5)
    assert figures["penalty"] == pytest.approx(penalty, rel=1e-5)
    assert figures["reconstruction"] == pytest.approx(np.mean((IMAGES - colors) ** 2), rel=1e-5)


def test_with_an_encoder_the_latents_are_its_own():
    figures, model, params = evaluate(settings(latents="encoder"), rows=None)
    latents = model.apply({"params": params}, IMAGES, method="encode")
    expected = np.mean((IMAGES - drawn(model, params, latents)) ** 2)
    assert figures["reconstruction"] == pytest.approx(expected, rel=1e-5)


def test_some_pixels_estimate_all_of_them():
    everything, *_ = evaluate(settings())
    once, *_ = evaluate(settings(**{"training.pixels": 5}))
    often, *_ = evaluate(settings(**{"training.pixels": 5}), seeds=2000)
    assert once["reconstruction"] != pytest.approx(everything["reconstruction"], rel=1e-3)
    assert often["reconstruction"] == pytest.approx(everything["reconstruction"], rel=0.01)


def test_noise_is_added_to_what_is_decoded_and_not_to_what_is_penalized():
    calm, *_ = evaluate(settings())
    noisy, *_ = evaluate(settings(**{"loss.latent_noise": 20.0}))
    assert noisy["penalty"] == calm["penalty"]
    assert abs(noisy["reconstruction"] - calm["reconstruction"]) > 1e-3


def test_a_bernoulli_bound_is_its_expectation():
    """With a constant posterior of one latent that moves nothing: nothing is random."""
    config = settings("vae", "encoder")
    model = make_generator(config.model, SHAPE, config.loss.likelihood)
    params = jax.tree.map(np.zeros_like, initial_params(model, jax.random.PRNGKey(0), 2, SHAPE))
    logits = RNG.normal(size=60).astype(np.float32)
    params["decoder"]["mlp"]["layer_1"]["bias"] = logits
    params["encoder"]["mlp"]["layer_1"]["bias"] = np.array([0.7, -0.2, 0.4, -1.0], np.float32)
    figures, *_ = evaluate(config, None, params)
    intensity, p = (IMAGES.reshape(6, 60).astype(float) + 1) / 2, 1 / (1 + np.exp(-logits))
    surprise = -np.sum(intensity * np.log(p) + (1 - intensity) * np.log(1 - p), axis=1).mean()
    divergence = sum(
        kullback_leibler(mean, np.exp(log_variance / 2))
        for mean, log_variance in ((0.7, 0.4), (-0.2, -1.0))
    )
    assert figures["divergence"] == pytest.approx(divergence, rel=1e-4)
    assert figures["loss"] == pytest.approx(surprise + divergence, rel=1e-5)
    assert figures["reconstruction"] == pytest.approx(np.mean((2 * (p - intensity)) ** 2), rel=1e-4)


def kullback_leibler(mean, deviation):
    """Of a normal from the standard normal, by numerical integration."""
    q, p = scipy.stats.norm(mean, deviation), scipy.stats.norm()
    return scipy.integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -9, 9)[0]


def test_a_gaussian_bound_has_the_learned_variance():
    config = settings("vae", "encoder", **{"loss.likelihood": "gaussian"})
    model = make_generator(config.model, SHAPE, config.loss.likelihood)
    params = jax.tree.map(np.zeros_like, initial_params(model, jax.random.PRNGKey(0), 2, SHAPE))
    params["log_variance"] = np.float32(-0.8)
    figures, *_ = evaluate(config, None, params)
    surprise = -scipy.stats.norm(0, np.exp(-0.4)).logpdf(IMAGES.astype(float)).sum((1, 2, 3))
    assert figures["divergence"] == pytest.approx(0, abs=1e-6)
    assert figures["loss"] == pytest.approx(surprise.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.pixels": 21}, "an image has 20"),
        ({"training.jitter": -1.0}, "jitter"),
        ({"loss.latent_noise": -1.0}, "negative"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    config = settings(**changes)
    with pytest.raises(UsageError, match=message):
        make_loss(make_generator(config.model, SHAPE, config.loss.likelihood), config, SHAPE)
