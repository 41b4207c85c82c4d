import dataclasses

import numpy as np
import pytest

from dfm_flax.codec.pyramid.thinning import Thinning
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


def test_the_first_are_those_that_matter_least(coded, photo):
    """Half of them cost less than the other half: of an image that the grids are right for."""
    picture = coded.decoded()
    image = dataclasses.replace(photo(11, 18), pixels=picture)
    thinning = Thinning(image, coded)
    half = thinning.most // 2
    first = thinning.at(half)
    changed = [a - b for a, b in zip(thinning.at(thinning.most), first, strict=True)]
    others = [grid + change for grid, change in zip(coded.grids, changed, strict=True)]
    errors = [
        mse(picture, dataclasses.replace(coded, grids=grids).decoded()) for grids in (first, others)
    ]
    assert 0 < errors[0] < errors[1] / 1.5


def test_of_nothing_nothing_is_taken(pyramid_image, photo):
    coded = pyramid_image(11, 18, count=3, spread=0.0)
    thinning = Thinning(photo(11, 18), coded)
    assert thinning.most == 0
    assert not flat(thinning.at(0)).any()
