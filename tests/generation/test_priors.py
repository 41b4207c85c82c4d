"""What each prior is fitted to, and that a seed gives the draws that it always gave."""

import numpy as np
import pytest
import scipy.stats

from dfm_flax.errors import UsageError
from dfm_flax.generation.prior import PRIORS

RNG = np.random.default_rng(0)
# Two clusters, each with entries that depend on each other.
CLUSTER = RNG.normal(size=(2000, 3)) @ [[1, 0.8, 0], [0, 0.5, 0.2], [0, 0, 0.1]]
LATENTS = np.concatenate([CLUSTER, CLUSTER[::2] + np.array([6, -3, 2])]).astype(np.float32)


def fit(name, latents=LATENTS, seed=0):
    return PRIORS.get(name).fit(latents, seed)


# Of version 0.1.0.
FIRST_DRAWS = {
    "standard_normal": [
        [-0.27413785, -0.89059186, -0.4546708],
        [-0.9916465, 0.0601436, 1.3402152],
    ],
    "normal": [[1.140709, -2.517215, 0.2328437], [-1.0135769, -0.9114869, 1.9755476]],
    "gaussian": [[1.1405678, -1.894474, 0.48475164], [-1.0140882, 0.11658949, 0.1995799]],
    "gmm": [[-1.3435237, -1.7246066, -0.32495084], [1.041543, 1.6179547, 0.45398447]],
}


@pytest.mark.parametrize("name", FIRST_DRAWS)
def test_a_seed_gives_the_draws_that_it_always_gave(name):
    drawn = fit(name).sample(2, 7)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, np.array(FIRST_DRAWS[name]), rtol=1e-5)


@pytest.mark.parametrize("name", FIRST_DRAWS)
def test_another_seed_gives_others(name):
    prior = fit(name)
    np.testing.assert_array_equal(prior.sample(5, seed=3), prior.sample(5, seed=3))
    assert not np.array_equal(prior.sample(5, seed=3), prior.sample(5, seed=4))


def test_standard_normal_is_the_same_for_all_latents():
    prior = fit("standard_normal", np.empty((0, 4), np.float32))
    latents = RNG.normal(size=(20, 4))
    expected = scipy.stats.norm.logpdf(latents).sum(axis=1)
    np.testing.assert_allclose(prior.log_prob(latents), expected, rtol=1e-12)
    np.testing.assert_allclose(np.cov(prior.sample(20_000, 0).T), np.eye(4), atol=0.05)


def test_normal_has_the_mean_and_deviation_of_each_entry():
    prior = fit("normal")
    drawn = prior.sample(40_000, seed=0)
    np.testing.assert_allclose(drawn.mean(0), LATENTS.mean(0), atol=0.05)
    np.testing.assert_allclose(drawn.std(0), LATENTS.std(0), rtol=0.02)
    assert abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.03
    latents = LATENTS.astype(np.float64)
    expected = scipy.stats.norm.logpdf(latents, latents.mean(0), latents.std(0)).sum(axis=1)
    np.testing.assert_allclose(prior.log_prob(LATENTS), expected, rtol=1e-12)


def test_gaussian_has_the_covariance():
    prior = fit("gaussian")
    drawn = prior.sample(40_000, seed=0)
    np.testing.assert_allclose(drawn.mean(0), LATENTS.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(LATENTS.T), rtol=0.05, atol=0.05)
    latents = LATENTS.astype(np.float64)
    jitter = 1e-5 * latents.var(axis=0).max() * np.eye(3)
    exact = scipy.stats.multivariate_normal(latents.mean(0), np.cov(latents.T) + jitter)
    np.testing.assert_allclose(prior.log_prob(LATENTS), exact.logpdf(latents), rtol=1e-9)


def test_a_mixture_finds_the_clusters_and_gaussian_does_not():
    """Of 2 to 1 latents in two clusters, along the line between them."""
    for name, finds in (("gmm", True), ("gaussian", False)):
        drawn = fit(name).sample(6_000, seed=1)
        same = scipy.stats.ks_2samp(drawn[:, 0], LATENTS[:, 0]).pvalue > 1e-3
        assert same == finds


def test_each_gaussian_of_a_mixture_has_a_full_covariance():
    """Of two clusters far apart, each with its own."""
    far = np.concatenate([CLUSTER, 2 * CLUSTER @ np.diag([1, -1, 1]) + 50])
    prior = fit("gmm", far)
    drawn = prior.sample(40_000, seed=0)
    for cluster, part in (
        (CLUSTER, drawn[drawn[:, 0] < 25]),
        (far[2000:], drawn[drawn[:, 0] > 25]),
    ):
        assert len(part) == pytest.approx(20_000, rel=0.05)
        np.testing.assert_allclose(np.corrcoef(part.T), np.corrcoef(cluster.T), atol=0.05)
        np.testing.assert_allclose(part.std(axis=0), cluster.std(axis=0), atol=0.05)


def test_a_nearer_prior_gives_latents_more_probability():
    far, near, nearest = (
        fit(name).log_prob(LATENTS).mean() for name in ("normal", "gaussian", "gmm")
    )
    assert far < near < nearest


def test_a_constant_entry_is_no_obstacle():
    for name in ("normal", "gaussian", "gmm"):
        flat = LATENTS * np.array([1, 0, 1], np.float32)
        drawn = fit(name, flat).sample(100, seed=0)
        assert abs(drawn[:, 1]).max() < 0.05


def test_few_latents_make_a_smaller_mixture():
    assert len(fit("gmm", LATENTS[:200]).weights) == 3
    assert len(fit("gmm", LATENTS[:6]).weights) == 1


@pytest.mark.parametrize("name", ["gaussian", "gmm"])
def test_one_latent_has_no_covariance(name):
    with pytest.raises(UsageError, match=f"'{name}': 1 latents have no covariance"):
        fit(name, LATENTS[:1])
