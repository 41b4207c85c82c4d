import math

import numpy as np
import pytest

from dfm_flax.metrics.rate_distortion import Point, bd_rate, frontier, mean_curve


def curve(scale=1.0, rates=(0.1, 0.2, 0.4, 0.8, 1.6)):
    """6 dB for each octave."""
    return [Point(scale * r, 30 + 6 * math.log2(r / 0.1), 1 - 0.05 / r) for r in rates]


def test_bd_rate_of_a_codec_that_takes_so_much_more_for_the_same():
    assert bd_rate(curve(), curve(1.25)) == pytest.approx(25, abs=0.1)
    assert bd_rate(curve(), curve(0.5)) == pytest.approx(-50, abs=0.1)


def test_bd_rate_where_it_is_not_defined():
    assert math.isnan(bd_rate(curve(), curve()[:3]))
    assert math.isnan(bd_rate(curve(), [Point(p.bpp, p.psnr + 50, 1) for p in curve()]))


def test_frontier_drops_what_is_worse_in_both():
    points = [Point(0.2, 30, 1), Point(0.1, 29, 1), Point(0.15, 28, 1), Point(0.2, 31, 1)]
    assert frontier(points) == [Point(0.1, 29, 1), Point(0.2, 31, 1)]


def test_mean_curve_is_linear_in_the_logarithm_of_the_rate():
    rates = np.array([0.05, 0.1, math.sqrt(0.1 * 0.2), 0.4])
    means = mean_curve([curve(), curve(rates=(0.1, 0.4))], rates)
    np.testing.assert_allclose(means[1:, 0], [30, 33, 42])
    assert np.isnan(means[0]).all()
