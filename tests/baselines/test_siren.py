"""SIREN: against its formula in NumPy, and the initialization of its paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.baselines.siren import Siren, sine, siren_num_weights


def test_matches_the_formula():
    positions = np.random.default_rng(0).uniform(size=(5, 7, 2)).astype(np.float32)
    model = Siren(depth=3, width=11, w0=20.0)
    variables = model.init(jax.random.PRNGKey(0), positions)

    x = 2 * positions.astype(np.float64) - 1
    for i in range(3):
        layer = jax.tree.map(np.float64, variables["params"][f"layer_{i}"])
        x = x @ layer["kernel"] + layer["bias"]
        x = np.sin(20 * x) if i < 2 else x

    np.testing.assert_allclose(model.apply(variables, positions), x, atol=2e-5)


def test_hidden_features_keep_their_spread():
    # The paper's point: whatever the depth, features follow the arcsine law of variance 1/2.
    positions = np.random.default_rng(0).uniform(size=(4096, 2))
    model = Siren(depth=8, width=256)
    variables = model.init(jax.random.PRNGKey(1), positions)
    _, state = model.apply(variables, positions, capture_intermediates=True)
    for i in range(1, 7):
        (phases,) = state["intermediates"][f"layer_{i}"]["__call__"]
        assert jnp.var(jnp.sin(30 * phases)) == pytest.approx(0.5, abs=0.05)


def test_sine_and_its_gradient():
    x = jnp.linspace(-20, 20, 1001)
    np.testing.assert_allclose(sine(x), np.sin(np.pi * np.float64(x)), atol=1e-6)
    slope = jax.vmap(jax.grad(sine))(x)
    np.testing.assert_allclose(slope, np.pi * np.cos(np.pi * np.float64(x)), atol=3e-6)


@pytest.mark.parametrize(("depth", "width", "channels"), [(2, 5, 1), (5, 83, 3)])
def test_num_weights(depth, width, channels):
    variables = Siren(depth, width, channels).init(jax.random.PRNGKey(0), jnp.zeros(2))
    count = sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert siren_num_weights(depth, width, channels) == count


def test_needs_two_layers():
    with pytest.raises(ValueError, match="at least 2 layers"):
        siren_num_weights(1, 8)
