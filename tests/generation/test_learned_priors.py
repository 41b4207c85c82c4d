"""Priors that are networks: their densities, and that they learn what a Gaussian cannot."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from scipy.spatial.distance import cdist
from sklearn.datasets import make_moons

from dfm_flax.errors import UsageError
from dfm_flax.generation import learned_prior
from dfm_flax.generation.priors import flow, flow_matching
from dfm_flax.generation.priors.flow import Flow
from dfm_flax.generation.priors.flow_matching import FlowMatching
from dfm_flax.generation.priors.gaussian import Gaussian

KINDS = (Flow, FlowMatching)
RNG = np.random.default_rng(0)


def moons(seed):
    latents, labels = make_moons(2_000, noise=0.06, random_state=seed)
    return latents.astype(np.float32) @ np.array([[3, 1], [0, 0.5]], np.float32) + 5, labels


def random_prior(kind, size, weights=(1.0,), deviation=0.1):
    """A prior whose network is far from where training starts."""
    init = kind.network(size).init
    params = init(jax.random.PRNGKey(0), jnp.zeros((1, size)), jnp.zeros((1, len(weights))))
    params = jax.tree.map(
        lambda leaf: leaf + deviation * RNG.normal(size=leaf.shape).astype(np.float32),
        params["params"],
    )
    axes = RNG.normal(size=(size, size)) + 2 * np.eye(size)
    return kind(RNG.normal(size=size), axes, np.array(weights), params)


@pytest.fixture(scope="module", autouse=True)
def small():
    """Networks that two numbers need, and that are trained in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned_prior, "_BATCH", 256)
        patch.setattr(flow, "_FEATURES", 32)
        patch.setattr(flow_matching, "_FEATURES", 128)
        for kind in KINDS:
            patch.setattr(kind, "num_steps", 800)
        yield


@pytest.fixture(scope="module")
def fitted(small):
    """Of each kind, fitted to two moons that are its classes."""
    latents, labels = moons(0)
    return {kind: kind.fit(latents, seed=0, labels=labels) for kind in KINDS}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_density_of_a_flow_is_that_of_a_change_of_variables(size):
    """p(z) = N(noise) / |dz/dnoise|, with the derivatives of the way from noise to latents."""
    prior = random_prior(Flow, size)
    noise = RNG.normal(size=(6, size)).astype(np.float32)
    one = jnp.ones((1, 1))

    def latent(noise):
        return jnp.asarray(prior.axes, jnp.float32) @ prior.from_noise(noise[None], one)[0]

    latents = prior.mean + np.asarray(jax.jit(jax.vmap(latent))(noise))
    slopes = np.linalg.slogdet(jax.jit(jax.vmap(jax.jacfwd(latent)))(noise))[1]
    expected = scipy.stats.norm.logpdf(noise).sum(axis=1) - slopes
    np.testing.assert_allclose(prior.log_prob(latents), expected, atol=1e-3)
    assert size == 1 or np.std(slopes) > 0.01  # the map is not linear


def test_the_density_of_a_flow_has_the_integral_1():
    prior = random_prior(Flow, 2, deviation=0.05)
    prior = dataclasses.replace(prior, axes=np.eye(2))
    axis = np.linspace(-8, 8, 161)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2) + prior.mean
    integral = np.exp(prior.log_prob(grid)).sum() * (axis[1] - axis[0]) ** 2
    assert integral == pytest.approx(1, abs=2e-3)


def test_the_density_of_all_classes_is_the_sum_over_them():
    prior = random_prior(Flow, 3, weights=(0.2, 0.8))
    latents = RNG.normal(size=(20, 3))
    single = [prior.of_class(label).log_prob(latents) for label in (0, 1)]
    assert not np.allclose(single[0], single[1])
    expected = scipy.special.logsumexp(single, axis=0, b=[[0.2], [0.8]])
    np.testing.assert_allclose(prior.log_prob(latents), expected, rtol=1e-6)


def test_the_flow_of_an_untrained_network_ends_where_it_began():
    """Velocities between two draws from N(0, I) take each to itself: their integral is 0."""
    untrained = random_prior(FlowMatching, 3, deviation=0)
    noise = RNG.normal(size=(50, 3)).astype(np.float32)
    units = untrained.from_noise(noise, np.ones((50, 1), np.float32))
    np.testing.assert_allclose(units, noise, atol=5e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_moons_are_learned_and_a_gaussian_misses_them(fitted, kind):
    """By the energy distance to others of the same moons."""
    others, _ = moons(1)

    def energy(drawn):
        return 2 * cdist(drawn, others).mean() - cdist(drawn, drawn).mean() - within

    within = cdist(others, others).mean()
    gaussian = Gaussian.fit(moons(0)[0])
    drawn = fitted[kind].sample(2_000, seed=0)
    assert drawn.dtype == np.float32
    assert energy(drawn) < energy(gaussian.sample(2_000, seed=0)) / 4
    if kind is Flow:
        assert fitted[kind].log_prob(others).mean() > gaussian.log_prob(others).mean() + 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_is_a_moon(fitted, kind):
    latents, labels = moons(1)
    for label in (0, 1):
        drawn = fitted[kind].of_class(label).sample(300, seed=0)
        nearest = labels[cdist(drawn, latents).argmin(axis=1)]
        assert np.mean(nearest == label) > 0.95
    with pytest.raises(UsageError, match=r"class 2: prior '\w+' has classes 0 to 1"):
        fitted[kind].of_class(2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_its_draws(fitted, kind):
    prior = fitted[kind]
    np.testing.assert_array_equal(prior.sample(5, seed=3), prior.sample(5, seed=3))
    assert not np.array_equal(prior.sample(5, seed=3), prior.sample(5, seed=4))


@pytest.mark.parametrize("kind", KINDS)
def test_without_steps_it_is_the_gaussian(kind, monkeypatch):
    """Where training finds nothing that helps, the start is kept: mean and covariance."""
    monkeypatch.setattr(kind, "num_steps", 1)
    latents, _ = moons(0)
    drawn = kind.fit(latents).sample(20_000, seed=0)
    np.testing.assert_allclose(drawn.mean(axis=0), latents.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(latents.T), rtol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_another_network_are_refused(kind):
    arrays = random_prior(kind, 3).arrays()
    with pytest.raises(ValueError, match="another network"):
        kind.from_arrays(arrays | random_prior(kind, 4).arrays() | {"mean": arrays["mean"]})
    del arrays["axes"]
    with pytest.raises(KeyError):
        kind.from_arrays(arrays)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_fitted_is_refused(kind):
    with pytest.raises(UsageError, match=f"'{kind.name}': 39 latents are too few"):
        kind.fit(moons(0)[0][:39])
    with pytest.raises(UsageError, match=f"class 0: prior '{kind.name}' knows no classes"):
        random_prior(kind, 2).of_class(0)
