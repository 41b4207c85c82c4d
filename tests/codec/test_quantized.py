import numpy as np
import pytest

from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.codec.powers import step_size
from dfm_flax.codec.quantized import by_groups, by_layers, quantize


def test_groups_and_layers_are_inverse(quantized):
    for name in quantized.names:
        image = quantized(name)
        groups = by_groups(image.integers, image.machine)
        assert len(groups) == num_groups(image.machine)
        for layer, again in zip(image.integers, by_layers(groups, image.machine), strict=True):
            np.testing.assert_array_equal(layer, again)


def test_weights_are_multiples_of_their_steps(quantized):
    image = quantized("mixed")
    for i, rows in enumerate(row_groups(image.machine)):
        weights = image.params[f"layer_{i}"]["coefficients"]
        assert weights.dtype == np.float32
        exact = image.integers[i] * 2.0 ** -(image.step_codes[rows].astype(float)[:, None] / 8)
        np.testing.assert_allclose(weights, exact, rtol=1e-6)


def test_quantize_rounds_to_the_nearest(quantized):
    image = quantized("best")
    rng = np.random.default_rng(3)
    sizes = step_size(image.step_codes)
    moved = {
        name: {"coefficients": layer["coefficients"] + 0.49 * sizes[rows][:, None] * sign}
        for (name, layer), rows, sign in zip(
            image.params.items(), row_groups(image.machine), rng.choice([-1, 1], 4), strict=True
        )
    }
    again = quantize(moved, image.machine, image.step_codes, 20, 30)
    for layer, other in zip(image.integers, again.integers, strict=True):
        np.testing.assert_array_equal(layer, other)


def test_params_fit_the_machine(quantized):
    for name in quantized.names:
        image = quantized(name)
        colors = image.machine.apply({"params": image.params}, np.zeros((7, 2)))
        assert colors.shape == (7, image.machine.channels)
        assert pytest.approx(colors[0]) == colors[1]
