import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.fourier import (
    BASES,
    FourierLayer,
    FourierMachine,
    fourier_series,
    num_weights,
    widest,
)
from dfm_flax.fourier.machine import per_layer


def size(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    ("depth", "width", "channels", "max_frequencies"),
    [(2, 3, 1, 1), (4, 9, 3, 1), (6, 6, 3, (4, 1, 1)), (3, 4, 3, (2, 2, 1))],
)
def test_weights_are_counted_exactly(depth, width, channels, max_frequencies):
    machine = FourierMachine(depth, width, channels, max_frequencies=max_frequencies)
    params = machine.init(jax.random.PRNGKey(0), jnp.zeros((1, 2)))
    assert size(params) == num_weights(depth, width, channels, max_frequencies=max_frequencies)


def test_weights_of_an_additive_machine_are_counted_exactly():
    machine = FourierMachine(5, 7, 3, "additive", (8, 1, 2))
    params = machine.init(jax.random.PRNGKey(0), jnp.zeros((1, 2)))
    assert size(params) == num_weights(5, 7, 3, "additive", (8, 1, 2))
    assert size(params) == 33 * 7 + 3 * 15 * 7 + 29 * 3


def test_each_layer_can_have_its_own_width():
    machine = FourierMachine(4, (7, 5, 2), 3, "additive", (8, 1, 2))
    params = machine.init(jax.random.PRNGKey(0), jnp.zeros((1, 2)))["params"]
    shapes = [params[f"layer_{i}"]["coefficients"].shape for i in range(4)]
    assert shapes == [(33, 7), (15, 5), (11, 2), (9, 3)]
    assert size(params) == num_weights(4, (7, 5, 2), 3, "additive", (8, 1, 2))


def test_the_count_of_the_thesis_without_the_idle_sine():
    # 2 x 4 x 6, four times 2 x 64 x 6, 2 x 64 x 3, less b_0 of every output
    assert num_weights(6, 6) == 3504 - 5 * 6 - 3


def test_coefficients_have_the_variance_asked_for():
    layer = FourierLayer(features=8, variance=4e-4)
    params = layer.init(jax.random.PRNGKey(1), jnp.zeros((1, 8)))
    coefficients = params["params"]["coefficients"]
    assert coefficients.var() == pytest.approx(4e-4, rel=0.1)
    assert abs(coefficients.mean()) < 3 * (4e-4 / coefficients.size) ** 0.5


@pytest.mark.parametrize("name", BASES.names())
@pytest.mark.parametrize(("m", "max_frequency"), [(2, 8), (7, 1)])
def test_normalized_outputs_have_the_variance_asked_for(name, m, max_frequency):
    layer = FourierLayer(500, BASES.get(name)(max_frequency), 0.3, normalize=True)
    x = jax.random.uniform(jax.random.PRNGKey(1), (500, m))
    y = layer.apply(layer.init(jax.random.PRNGKey(0), x), x)
    assert y.var() == pytest.approx(0.3, rel=0.1)


def test_extent_scales_the_positions():
    machine = FourierMachine(3, 4, variances=1e-2, extent=0.5)
    positions = jax.random.uniform(jax.random.PRNGKey(0), (7, 2))
    variables = machine.init(jax.random.PRNGKey(1), positions)
    full = machine.clone(extent=1.0)
    np.testing.assert_array_equal(
        machine.apply(variables, positions), full.apply(variables, positions / 2)
    )


def test_residual_only_where_it_is_asked_for_and_sizes_agree():
    x = jnp.full((1, 3), 0.25)
    for features, residual, expected in ((3, True, 0.25), (2, True, 0.0), (3, False, 0.0)):
        layer = FourierLayer(features, residual=residual, variance=0.0)
        y = layer.apply(layer.init(jax.random.PRNGKey(0), x), x)
        np.testing.assert_allclose(y, expected)


def test_machine_is_tanh_of_the_composed_layers():
    machine = FourierMachine(depth=4, width=5, variances=(1e-2, 1e-3, 1e-1))
    positions = jax.random.uniform(jax.random.PRNGKey(0), (7, 2))
    variables = machine.init(jax.random.PRNGKey(1), positions)
    c = [variables["params"][f"layer_{i}"]["coefficients"] for i in range(4)]
    x = fourier_series(positions, c[0])
    x = x + fourier_series(x, c[1])
    x = x + fourier_series(x, c[2])
    expected = jnp.tanh(fourier_series(x, c[3]))
    np.testing.assert_allclose(machine.apply(variables, positions), expected, rtol=1e-5, atol=1e-6)


def test_per_layer_spreads_three_values():
    assert per_layer((1, 2, 3), 5) == [1, 2, 2, 2, 3]
    assert per_layer((1, 2, 3), 2) == [1, 3]
    assert per_layer(7, 3) == per_layer((7,), 3) == [7, 7, 7]


@pytest.mark.parametrize(("setting", "depth"), [((1, 2), 4), (1, 1)])
def test_settings_that_do_not_fit_are_refused(setting, depth):
    with pytest.raises(ValueError, match="layer"):
        per_layer(setting, depth)


@pytest.mark.parametrize("name", BASES.names())
def test_widest_is_the_last_that_fits(name):
    width = widest(3_500, 6, 3, name, (2, 1, 1))
    sizes = [num_weights(6, w, 3, name, (2, 1, 1)) for w in (width, width + 1)]
    assert sizes[0] <= 3_500 < sizes[1]
    with pytest.raises(ValueError, match="no machine of depth 6 has only 20 weights"):
        widest(20, 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 1}, "at least 2 layers"),
        ({"width": 0}, "at least 1"),
        ({"width": (4, 0)}, "at least 1"),
        ({"width": (4, 4, 4)}, "a machine of depth 3 has one, or 2"),
        ({"channels": 0}, "at least 1"),
        ({"max_frequencies": 0}, "at least 1"),
        ({"max_frequencies": (1, 0, 1)}, "at least 1"),
        ({"variances": (1.0, 1.0)}, "one value or three"),
        ({"variances": -1e-3}, "cannot be negative"),
        ({"variances": (0.1, float("nan"), 0.1)}, "cannot be negative"),
        ({"extent": 0.0}, "not above 0"),
        ({"extent": float("inf")}, "not above 0"),
        ({"width": 26}, "3,489,660,902 weights"),
    ],
)
def test_machines_that_make_no_sense_are_refused_when_made(settings, message):
    with pytest.raises(ValueError, match=message):
        FourierMachine(**({"depth": 3, "width": 4} | settings))


def test_a_machine_of_images_has_two_coordinates():
    machine = FourierMachine(3, 4)
    for shape in ((1, 3), (1,)):
        with pytest.raises(ValueError, match="positions have 2 coordinates"):
            machine.init(jax.random.key(0), jnp.zeros(shape))


def test_keys_may_be_raw_or_not():
    machine = FourierMachine(3, 4)
    raw, typed = (
        machine.init(key(7), jnp.zeros((1, 2))) for key in (jax.random.PRNGKey, jax.random.key)
    )
    jax.tree.map(np.testing.assert_array_equal, raw, typed)


def test_a_wide_additive_machine_is_no_problem():
    FourierMachine(depth=3, width=200, basis="additive")
