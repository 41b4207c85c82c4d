import numpy as np
import pytest
import scipy.special
import scipy.stats

from dfm_flax.errors import UsageError
from dfm_flax.generation.priors.gmm import GaussianMixture

RNG = np.random.default_rng(0)


def random_mixture(components, size):
    weights = RNG.dirichlet(np.ones(components))
    factors = np.tril(RNG.normal(size=(components, size, size)), -1) + 0.7 * np.eye(size)
    return GaussianMixture(weights, RNG.normal(size=(components, size)), factors)


@pytest.mark.parametrize(("components", "size"), [(1, 1), (1, 4), (3, 1), (5, 7)])
def test_the_density_is_that_of_scipy(components, size):
    mixture = random_mixture(components, size)
    latents = 3 * RNG.normal(size=(50, size))
    expected = scipy.special.logsumexp(
        [
            np.log(weight)
            + scipy.stats.multivariate_normal(mean, factor @ factor.T).logpdf(latents)
            for weight, mean, factor in zip(
                mixture.weights, mixture.means, mixture.factors, strict=True
            )
        ],
        axis=0,
    )
    found = mixture.log_prob(latents)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 2])
def test_the_density_has_the_integral_1(size):
    mixture = random_mixture(3, size)
    axis = np.linspace(-12, 12, 801)
    grid = np.stack(np.meshgrid(*[axis] * size), axis=-1).reshape(-1, size)
    cell = (axis[1] - axis[0]) ** size
    assert np.exp(mixture.log_prob(grid)).sum() * cell == pytest.approx(1, abs=1e-6)


def test_far_away_the_density_is_small_and_its_logarithm_finite():
    mixture = random_mixture(2, 3)
    assert np.isfinite(mixture.log_prob(np.full((1, 3), 1e4))).all()


def test_samples_have_the_density():
    """Of a mixture of one number, by the distribution function."""
    mixture = GaussianMixture(
        np.array([0.3, 0.7]), np.array([[-2.0], [1.0]]), np.array([[[0.5]], [[1.0]]])
    )
    drawn = mixture.sample(5_000, seed=0)[:, 0]

    def cdf(x):
        return 0.3 * scipy.stats.norm.cdf(x, -2, 0.5) + 0.7 * scipy.stats.norm.cdf(x, 1, 1)

    assert scipy.stats.kstest(drawn, cdf).pvalue > 1e-3


def test_a_constant_entry_has_no_density():
    flat = GaussianMixture(np.ones(1), np.zeros((1, 2)), np.diag([1.0, 0.0])[None])
    with pytest.raises(UsageError, match="no density"):
        flat.log_prob(np.zeros((1, 2)))
