import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from dfm_flax.codec.pyramid.rate import laplace_bits, soft_round

LOG_SCALES = (-5.0, -2.3, 0.0, 1.7, 5.0)


def exact(values, mean, log_scale):
    """By scipy's distribution function in float64, from the nearer end."""
    distance = np.abs(np.asarray(values, np.float64) - mean)
    upper, lower = (
        scipy.stats.laplace.sf(distance + way / 2, scale=2.0**log_scale) for way in (-1, 1)
    )
    return -np.log2(upper - lower)


@jax.jit
def bits_of(value, mean, log_scale):
    """Of a single value."""
    return laplace_bits(*(jnp.asarray([x], jnp.float32) for x in (value, mean, log_scale)))[0]


@jax.jit
def slopes_of(value, mean, log_scale):
    return jax.grad(bits_of, argnums=(0, 1, 2))(value, mean, log_scale)


@pytest.mark.parametrize("log_scale", LOG_SCALES)
def test_bits_are_those_of_the_mass(log_scale):
    # So far that the mass is 10^-280.
    values = np.float32(np.linspace(-1, 1, 161) * max(4, 640 * 2**log_scale))
    bits = laplace_bits(*np.broadcast_arrays(values, np.float32(0.3), np.float32(log_scale)))
    expected = exact(values, np.float32(0.3), log_scale)
    assert expected.max() > 120
    np.testing.assert_allclose(bits, expected, rtol=2e-4, atol=2e-5)


def test_far_away_bits_grow_in_proportion():
    """No mass is too small: a gradient is left that leads back."""
    near, far = (bits_of(distance, 0, -5) for distance in (99, 199))
    assert far - near == pytest.approx(100 * 32 / math.log(2), rel=1e-5)
    slope, _, _ = slopes_of(30_000.0, 0.0, -5.0)
    assert slope == pytest.approx(32 / math.log(2), rel=1e-5)


@pytest.mark.parametrize("log_scale", LOG_SCALES[1:-1])
@pytest.mark.parametrize("value", [0.31, 0.75, 0.81, -0.6, 5.0, -40.0])
def test_gradients_are_differences(value, log_scale):
    gradients = slopes_of(value, 0.3, log_scale)
    step = 1e-4
    for found, moved in zip(gradients, np.eye(3) * step, strict=True):
        before, behind = (
            exact(value + way * moved[0], 0.3 + way * moved[1], log_scale + way * moved[2])
            for way in (-1, 1)
        )
        assert found == pytest.approx((behind - before) / (2 * step), rel=2e-3, abs=1e-3)


def test_scales_end_where_the_tables_do():
    at = [bits_of(1, 0, log_scale) for log_scale in (-9, -5, 5, 9)]
    assert at[0] == at[1]
    assert at[2] == at[3]
    assert slopes_of(1.0, 0.0, 9.0)[2] == 0


def test_gradients_are_numbers_everywhere():
    values = jnp.float32([0, 0.5, -0.5, 0.49999997, 1e-30, 32767])

    @jax.jit
    def slopes(*arguments):
        return jax.grad(lambda *x: laplace_bits(*x).sum(), argnums=(0, 1, 2))(*arguments)

    for log_scale in (-5.0, 5.0, 40.0):
        assert np.isfinite(slopes(values, jnp.zeros(6), jnp.full(6, log_scale))).all()


def test_soft_rounding_is_between_rounding_and_nothing():
    x = jnp.linspace(-3.28, 3.28, 83)  # no halves
    np.testing.assert_allclose(soft_round(x, 1e-3), np.round(x), atol=1e-6)
    np.testing.assert_allclose(soft_round(x, 1e3), x, atol=1e-5)
    middle = np.asarray(soft_round(x, 0.3))
    assert (np.diff(middle) > 0).all()
    assert np.abs(middle - x).max() > 0.02
    np.testing.assert_allclose(soft_round(jnp.arange(-3.0, 4), 0.3), np.arange(-3, 4), atol=1e-6)
