import dataclasses
import math

import numpy as np
import pytest

from dfm_flax.codec import entropy
from dfm_flax.codec.container import file_size, from_bytes, to_bytes
from dfm_flax.codec.pyramid.encoder import MIN_BYTES
from dfm_flax.codec.pyramid.geometry import Pyramid, values_at
from dfm_flax.codec.pyramid.image import gain_of
from dfm_flax.codec.pyramid.network import Network
from dfm_flax.codec.pyramid.rounding import Rounding
from dfm_flax.codec.pyramid.start import start_floats
from dfm_flax.codec.pyramid.training import Trained
from dfm_flax.codec.pyramid.weights import MAX_STEP_CODE
from dfm_flax.metrics.distortion import mse


@pytest.fixture(scope="module")
def make_rounding(photo):
    """make_rounding(trade_off, away, spread): of weights that are so far away from the start.

    The image is what they draw.
    """

    def make(trade_off=1e-3, away=0.1, spread=1.0):
        network, pyramid = Network(3, 3), Pyramid(11, 18, 0, 3)
        rng = np.random.default_rng(0)
        weights = {
            name: array + rng.normal(0, away, array.shape).astype(np.float32)
            for name, array in start_floats(network).items()
        }
        grids = tuple(
            np.rint(rng.laplace(0, spread, shape)).astype(np.float32) for shape in pyramid.shapes
        )
        values = values_at(tuple(gain_of(30) * grid for grid in grids), pyramid.at_pixels())
        pixels = np.clip(network.picture(weights, values), 0, 1).transpose(1, 2, 0)
        image = dataclasses.replace(photo(11, 18), pixels=pixels)
        return Rounding(image, network, pyramid, 30, Trained(weights, grids, trade_off))

    return make


@pytest.mark.parametrize("trade_off", [1e-7, 1e-4, 1e-2])
def test_the_cost_is_below_that_of_all_common_steps(make_rounding, trade_off):
    rounding = make_rounding(trade_off)
    best = rounding.best()
    least = rounding._cost(best.weights.step_codes, 1.0)
    for code in range(MAX_STEP_CODE + 1):
        common = np.full(len(best.weights.step_codes), code, np.uint8)
        assert least < rounding._cost(common, 1.0)
    # What was estimated is what the file has.
    read = from_bytes(to_bytes(best))
    bits = 8 * file_size(best) - 8 * (9 + 2 + 3 + 8 + 15 + 2)
    expected = mse(rounding._image.pixels, read.render(11, 18)) + trade_off * bits / (11 * 18)
    assert least == pytest.approx(expected, rel=1e-3, abs=trade_off * 70 / (11 * 18))


def test_a_bit_that_is_worth_more_is_saved(make_rounding):
    rounding = make_rounding()
    sizes = [file_size(rounding.best(worth)) for worth in (0.01, 1.0, math.inf)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]
    assert rounding.trained.trade_off == 1e-3


def test_steps_are_never_too_fine_for_a_weight(make_rounding):
    """Nor where a bit is worth nothing, so that the finest are the best."""
    best = make_rounding(trade_off=1e-9, away=3.0).best()
    assert max(np.abs(integers).max() for integers in best.weights.integers) <= entropy.LARGEST
    to_bytes(best)


def test_the_smallest_files_are_as_small_as_is_said(make_rounding):
    rounding = make_rounding(spread=0.0)
    assert file_size(rounding.best(worth=math.inf)) <= MIN_BYTES


def test_grids_are_left_alone(make_rounding):
    rounding = make_rounding()
    for worth in (1.0, math.inf):
        best = rounding.best(worth)
        for grid, trained in zip(best.grids, rounding.trained.grids, strict=True):
            np.testing.assert_array_equal(grid, trained)
    assert dataclasses.astuple(best.pyramid) == (11, 18, 0, 3)
