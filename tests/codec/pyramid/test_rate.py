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
    scale = 2.0**log_scale
    upper = scipy.stats.laplace.logsf(distance - 0.5, scale=scale)
    lower = scipy.stats.laplace.logsf(distance + 0.5, scale=scale)
    return -(upper + np.log1p(-np.exp(lower - upper))) / math.log(2)


@pytest.mark.parametrize("log_scale", LOG_SCALES)
def test_bits_are_those_of_the_mass(log_scale):
    values = np.concatenate([np.linspace(-4, 4, 161), [-300.0, 31.0, 2000.0, 32767.0]])
    bits = laplace_bits(*(jnp.float32(x) for x in np.broadcast_arrays(values, 0.3, log_scale)))
    np.testing.assert_allclose(
        bits, exact(values.astype(np.float32), np.float32(0.3), log_scale), rtol=2e-4, atol=2e-5
    )


def test_far_away_bits_grow_in_proportion():
    """No mass is too small: a gradient is left that leads back."""
    near, far = (laplace_bits(jnp.float32([d]), jnp.zeros(1), jnp.float32([-5])) for d in (99, 199))
    assert far[0] - near[0] == pytest.approx(100 * 32 / math.log(2), rel=1e-5)
    slope = jax.grad(lambda v: laplace_bits(v, 0.0, -5.0))(30_000.0)
    assert slope == pytest.approx(32 / math.log(2), rel=1e-5)


@pytest.mark.parametrize("log_scale", LOG_SCALES[1:-1])
@pytest.mark.parametrize("value", [0.3, 0.31, 0.75, 0.81, -0.6, 5.0, -40.0])
def test_gradients_are_differences(value, log_scale):
    gradients = jax.grad(laplace_bits, argnums=(0, 1, 2))(value, 0.3, log_scale)
    step = 1e-4
    for found, moved in zip(gradients, np.eye(3) * step, strict=True):
        before, behind = (
            exact(value + way * moved[0], 0.3 + way * moved[1], log_scale + way * moved[2])
            for way in (-1, 1)
        )
        # At 0.3 the distance is 0: any slope between both is one of it.
        if value != 0.3 or moved[2]:
            assert found == pytest.approx((behind - before) / (2 * step), rel=2e-3, abs=1e-3)


def test_scales_end_where_the_tables_do():
    at = [laplace_bits(jnp.float32(1), jnp.float32(0), jnp.float32(s)) for s in (-9, -5, 5, 9)]
    assert at[0] == at[1]
    assert at[2] == at[3]
    assert jax.grad(lambda s: laplace_bits(1.0, 0.0, s))(9.0) == 0


def test_gradients_are_numbers_everywhere():
    values = jnp.float32([0, 0.5, -0.5, 0.49999997, 1e-30, 32767])
    for argument in range(3):
        for log_scale in (-5.0, 5.0, 40.0):

            def total(*arguments):
                return laplace_bits(*arguments).sum()

            arguments = values, jnp.zeros(6), jnp.full(6, log_scale)
            assert np.isfinite(jax.grad(total, argnums=argument)(*arguments)).all()


def test_soft_rounding_is_between_rounding_and_nothing():
    x = jnp.linspace(-3.3, 3.3, 67)
    np.testing.assert_allclose(soft_round(x, 1e-3), np.round(x), atol=1e-6)
    np.testing.assert_allclose(soft_round(x, 1e3), x, atol=1e-5)
    middle = np.asarray(soft_round(x, 0.3))
    assert (np.diff(middle) > 0).all()
    assert np.abs(middle - x).max() > 0.02
    np.testing.assert_allclose(soft_round(jnp.arange(-3.0, 4), 0.3), np.arange(-3, 4), atol=1e-6)
