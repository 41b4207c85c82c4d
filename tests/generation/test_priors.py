import numpy as np
import pytest
import scipy.stats

from dfm_flax.errors import UsageError
from dfm_flax.generation.priors import Mixture, fit_prior, standard_normal

RNG = np.random.default_rng(0)
# Two clusters, each with entries that depend on each other.
CLUSTER = RNG.normal(size=(2000, 3)) @ [[1, 0.8, 0], [0, 0.5, 0.2], [0, 0, 0.1]]
LATENTS = np.concatenate([CLUSTER, CLUSTER[::2] + np.array([6, -3, 2])]).astype(np.float32)


def test_normal_has_the_mean_and_deviation_of_each_entry():
    drawn = fit_prior("normal", LATENTS).sample(40_000, seed=0)
    np.testing.assert_allclose(drawn.mean(0), LATENTS.mean(0), atol=0.05)
    np.testing.assert_allclose(drawn.std(0), LATENTS.std(0), rtol=0.02)
    assert abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.03


def test_gaussian_has_the_covariance():
    drawn = fit_prior("gaussian", LATENTS).sample(40_000, seed=0)
    np.testing.assert_allclose(drawn.mean(0), LATENTS.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(LATENTS.T), rtol=0.05, atol=0.05)


def test_a_mixture_finds_the_clusters_and_gaussian_does_not():
    """Of 2 to 1 latents in two clusters, along the line between them."""
    for kind, finds in (("gmm", True), ("gaussian", False)):
        drawn = fit_prior(kind, LATENTS).sample(6_000, seed=1)
        same = scipy.stats.ks_2samp(drawn[:, 0], LATENTS[:, 0]).pvalue > 1e-3
        assert same == finds


def test_a_seed_gives_the_same_draws():
    prior = fit_prior("gmm", LATENTS)
    np.testing.assert_array_equal(prior.sample(5, seed=3), prior.sample(5, seed=3))
    assert not np.array_equal(prior.sample(5, seed=3), prior.sample(5, seed=4))


def test_a_constant_entry_is_no_obstacle():
    for kind in ("normal", "gaussian", "gmm"):
        flat = LATENTS * np.array([1, 0, 1], np.float32)
        drawn = fit_prior(kind, flat).sample(100, seed=0)
        assert abs(drawn[:, 1]).max() < 0.05


def test_few_latents_make_a_smaller_mixture():
    assert len(fit_prior("gmm", LATENTS[:200]).weights) == 3
    assert len(fit_prior("gmm", LATENTS[:6]).weights) == 1


def test_a_prior_is_kept_for_its_checkpoint(tmp_path):
    prior = fit_prior("gmm", LATENTS)
    file = tmp_path / "priors" / "gmm.npz"
    assert Mixture.load(file, 10) is None
    prior.save(file, 10)
    found = Mixture.load(file, 10)
    np.testing.assert_array_equal(found.sample(5, 0), prior.sample(5, 0))
    assert Mixture.load(file, 20) is None
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UsageError, match="cannot be read"):
        Mixture.load(file, 10)


def test_standard_normal():
    drawn = standard_normal(4).sample(20_000, 0)
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(4), atol=0.05)


def test_priors_that_cannot_be_fitted():
    with pytest.raises(UsageError, match="not one of normal, gaussian, gmm"):
        fit_prior("flow", LATENTS)
    with pytest.raises(UsageError, match="1 latents have no covariance"):
        fit_prior("gaussian", LATENTS[:1])
