import jax
import numpy as np
import pytest

from dfm_flax.codec import entropy
from dfm_flax.codec.context_model import FRACTION, MAX_WEIGHT, OFFSETS
from dfm_flax.codec.pyramid.geometry import MAX_GRIDS
from dfm_flax.codec.pyramid.network import NEIGHBORS, NEWEST_START, Network
from dfm_flax.codec.pyramid.start import start_floats, start_weights
from dfm_flax.codec.pyramid.weights import CodedWeights, estimated_bits


@pytest.fixture(params=range(NEWEST_START + 1))
def start(request):
    return request.param


def test_a_start_is_whole_and_in_range(start):
    weights = start_weights(Network(3, MAX_GRIDS, start=start))
    floats = start_floats(Network(3, MAX_GRIDS, start=start))
    for name, array in weights.items():
        assert array.dtype == np.int32
        assert np.abs(array).max() < MAX_WEIGHT
        np.testing.assert_array_equal(floats[name] * 2**FRACTION, array)


@pytest.mark.parametrize(("first", "count"), [(0, 7), (1, 6), (0, 1), (3, 2), (6, 1)])
def test_few_grids_take_the_weights_of_their_cells(start, first, count, textbook):
    """A picture of them is that of all grids, of which the others are 0, but for constants."""
    every = start_floats(Network(3, MAX_GRIDS, start=start))
    few = start_floats(Network(3, count, first, start))
    np.testing.assert_array_equal(few["scales"], every["scales"][first : first + count])
    np.testing.assert_array_equal(
        few["context_levels"], every["context_levels"][first : first + count]
    )
    values = np.random.default_rng(0).normal(0, 1, (count, 3, 4))
    padded = np.zeros((MAX_GRIDS, 3, 4))
    padded[first : first + count] = values
    # cos(0) = 1: what the cosines of the others add to the first layer is a constant.
    others = [i for i in range(MAX_GRIDS) if not first <= i < first + count]
    cosines = [1 + MAX_GRIDS * harmonic + i for harmonic in (0, 1) for i in others]
    without = dict(every, first=every["first"].copy())
    without["first"][0] -= every["first"][cosines].sum(axis=0)
    np.testing.assert_allclose(
        textbook.draw(few, values), textbook.draw(without, padded), atol=1e-9
    )


def test_a_gray_start_is_the_mean_of_the_colors(start, textbook):
    """Of a picture before the filter, and of the filter on equal channels."""
    gray, color = (start_floats(Network(channels, 5, 1, start)) for channels in (1, 3))
    values = np.random.default_rng(1).normal(0, 1, (5, 3, 4))
    mean = textbook.draw(color, values).mean(axis=0, keepdims=True)
    # Each of the weights is rounded down to a whole number.
    np.testing.assert_allclose(textbook.draw(gray, values), mean, atol=0.01)
    taps = color["filter"].sum(axis=3).mean(axis=0)
    np.testing.assert_allclose(gray["filter"][0, :, :, 0], taps, atol=1e-4)


def test_there_is_no_start_for_other_networks():
    with pytest.raises(ValueError, match="there is no start"):
        start_weights(Network(3, 4, features=9))


@pytest.mark.parametrize("channels", [1, 3])
def test_weights_are_rounded_to_steps_from_the_start(channels, random_weights):
    network = Network(channels, 3, 2)
    weights, start = random_weights(network), start_floats(network)
    codes = np.arange(len(network.groups), dtype=np.uint8) % 15
    coded = CodedWeights.rounded(weights, network, codes)
    for group, code, integers in zip(network.groups, codes.tolist(), coded.integers, strict=True):
        step = 2.0**-code
        rounded = coded.floats[group.name][group.rows]
        wanted = weights[group.name][group.rows]
        assert np.abs(rounded - wanted).max() <= step / 2 + 1e-6
        np.testing.assert_array_equal(
            rounded, start[group.name][group.rows] + np.float32(step) * integers
        )
        np.testing.assert_array_equal(
            coded.whole[group.name], coded.floats[group.name] * 2**FRACTION
        )


def test_zeros_are_the_start():
    network = Network(3, 4, 1)
    start = start_weights(network)
    floats = start_floats(network)
    coded = CodedWeights.rounded(floats, network, np.full(len(network.groups), 3, np.uint8))
    assert all(not integers.any() for integers in coded.integers)
    for name, array in coded.whole.items():
        np.testing.assert_array_equal(array, start[name])


def test_a_weight_that_is_too_large():
    network = Network(3, 2)
    codes = np.zeros(len(network.groups), np.uint8)
    coded = CodedWeights.rounded(start_floats(network), network, codes)
    coded.integers[-1][:] = 70  # of the context, more than 64
    with pytest.raises(ValueError, match="exceeds 64"):
        _ = coded.context_model
    coded.integers[0][:] = 2**20
    with pytest.raises(ValueError, match="a weight is too large"):
        _ = CodedWeights(network, codes, coded.integers).whole


@pytest.mark.parametrize("count", [1, 5])
def test_the_context_in_whole_numbers_is_that_of_training(pyramid_image, start, count):
    """The decoder's mean within a sixteenth, and the width within an eighth of an octave."""
    image = pyramid_image(21, 34, count=count, spread=2.0, start=start)
    network, model = image.weights.network, image.weights.context_model
    assert OFFSETS[: len(NEIGHBORS)] == NEIGHBORS
    means, log_scales = network.predict(
        image.weights.floats, tuple(grid.astype(np.float32) for grid in image.grids)
    )
    wholes = []
    for level, grid in enumerate(image.grids):
        height, width = grid.shape
        padded = np.pad(grid, ((2, 0), (2, 2))).astype(np.int64)
        neighbors = np.stack(
            [
                padded[2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width].ravel()
                for dy, dx in NEIGHBORS
            ]
        )
        wholes.append(np.stack(model.distribution(neighbors, level)))
    mean, code = np.concatenate(wholes, axis=1)
    off = np.abs(mean / 16 - means)
    assert off.max() < 1 / 16 + 0.02
    assert np.sqrt(np.mean(off**2)) < 0.03
    assert np.abs(code - 8 * np.clip(log_scales, -5, 5)).max() < 1.01


def test_estimated_bits_are_about_those_of_the_coder():
    """Of weights that are Laplacian around their start, at the step size that is assumed."""
    network, rng = Network(3, MAX_GRIDS), np.random.default_rng(0)
    start = start_floats(network)
    weights = {
        name: array + rng.laplace(0, 0.1, array.shape).astype(np.float32)
        for name, array in start.items()
    }
    codes = np.full(len(network.groups), 7, np.uint8)
    coded = CodedWeights.rounded(weights, network, codes)
    shape, widths = entropy.best_models(coded.integers)
    bits = sum(
        entropy.bits(shape, width, integers)
        for width, integers in zip(widths, coded.integers, strict=True)
    )
    assert float(estimated_bits(network, weights, start)) == pytest.approx(bits, rel=0.05)
    assert float(estimated_bits(network, start, start)) == 0
    gradient = jax.grad(estimated_bits, argnums=1)(network, weights, start)
    for name, array in gradient.items():
        # Towards the start, each of a group alike.
        np.testing.assert_array_equal(np.sign(array), np.sign(weights[name] - start[name]))
