import dataclasses

import numpy as np
import pytest

from dfm_flax.codec import grids as coding
from dfm_flax.codec.pyramid.thinning import Thinning, bits_of_steps
from dfm_flax.metrics.distortion import mse


@pytest.fixture(scope="module")
def coded(pyramid_image):
    return pyramid_image(11, 18, count=3, gain_code=30)


def flat(grids):
    return np.concatenate([grid.ravel() for grid in grids])


def test_one_number_after_the_other_is_one_step_nearer_to_zero(coded, photo):
    before = [grid.copy() for grid in coded.grids]
    thinning = Thinning(photo(11, 18), coded)
    assert thinning.most == np.count_nonzero(flat(coded.grids))
    last = flat(thinning.at(0))
    np.testing.assert_array_equal(last, flat(coded.grids))
    for count in range(1, thinning.most + 1):
        grids = thinning.at(count)
        assert [grid.shape for grid in grids] == coded.pyramid.shapes
        (changed,) = np.flatnonzero(flat(grids) != last)
        assert abs(flat(grids)[changed]) == abs(last[changed]) - 1
        last = flat(grids)
    expected = flat(coded.grids) - np.sign(flat(coded.grids))
    np.testing.assert_array_equal(last, expected)
    for grid, old in zip(coded.grids, before, strict=True):  # they are those of another image
        np.testing.assert_array_equal(grid, old)


def bits_of(coded, grids):
    """What the coder itself takes for them."""
    lengths = coding.lengths(grids, coded.weights.context_model)
    return sum(float(length.sum()) for length in lengths)


def test_the_first_save_the_most_bits_for_their_error(coded, photo):
    """Those of a half save more for what they cost than those of the other half."""
    picture = coded.decoded()
    image = dataclasses.replace(photo(11, 18), pixels=picture)  # that the grids are right for
    thinning = Thinning(image, coded)
    first = thinning.at(thinning.most // 2)
    changed = [a - b for a, b in zip(thinning.at(thinning.most), first, strict=True)]
    last = [grid + change for grid, change in zip(coded.grids, changed, strict=True)]
    before = bits_of(coded, coded.grids)
    saved = [before - bits_of(coded, grids) for grids in (first, last)]
    errors = [
        mse(picture, dataclasses.replace(coded, grids=grids).decoded()) for grids in (first, last)
    ]
    assert saved[0] > 0
    assert errors[0] > 0
    assert errors[0] / saved[0] < errors[1] / max(saved[1], 1e-9) / 1.5


@pytest.mark.parametrize(("height", "width"), [(9, 14), (1, 40), (40, 1), (2, 2)])
def test_the_bits_of_a_step_are_those_of_its_dependents_too(height, width, pyramid_image):
    """What all grids take, before and after each step alone."""
    coded = pyramid_image(height, width, count=3, spread=2.0)
    network, weights = coded.weights.network, coded.weights.floats
    grids = tuple(np.float32(grid) for grid in coded.grids)
    saved = bits_of_steps(network, weights, grids)
    before = float(network.bits(weights, grids))
    numbers = flat(grids)
    ends = np.cumsum([grid.size for grid in grids])[:-1]
    for place in range(numbers.size):
        nearer = numbers.copy()
        nearer[place] -= np.sign(nearer[place])
        parts = np.split(nearer, ends)
        parts = tuple(part.reshape(grid.shape) for part, grid in zip(parts, grids, strict=True))
        after = float(network.bits(weights, parts))
        assert saved[place] == pytest.approx(before - after, abs=0.01), place


def test_of_nothing_nothing_is_taken(pyramid_image, photo):
    coded = pyramid_image(11, 18, count=3, spread=0.0)
    thinning = Thinning(photo(11, 18), coded)
    assert thinning.most == 0
    assert not flat(thinning.at(0)).any()
