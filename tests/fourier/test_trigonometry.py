import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.fourier.trigonometry import sin_cos_pi


@pytest.mark.parametrize("start", [-3, 0, 1, 2**12 + 1, -(2**12)])
def test_sine_and_cosine_of_both_halves_of_a_period(start):
    """Near and far: whole numbers, even and odd, are taken away exactly."""
    x = np.float32(start) + np.arange(-512, 513, dtype=np.float32) / 256
    exact = np.pi * (np.float64(x) - 2 * np.floor(np.float64(x) / 2))
    sin, cos = sin_cos_pi(jnp.asarray(x))
    np.testing.assert_allclose(sin, np.sin(exact), atol=5e-7)
    np.testing.assert_allclose(cos, np.cos(exact), atol=5e-7)


def test_in_float64_they_are_those_of_numpy():
    with jax.enable_x64(True):
        x = jnp.linspace(-4, 4, 1001)
        assert x.dtype == jnp.float64
        for ours, theirs in zip(sin_cos_pi(x), (np.sin, np.cos), strict=True):
            np.testing.assert_allclose(ours, theirs(np.pi * np.asarray(x)), atol=1e-14)
