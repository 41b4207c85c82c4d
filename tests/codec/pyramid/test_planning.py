import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfm_flax.codec.pyramid import planning
from dfm_flax.codec.pyramid.geometry import MAX_GRIDS, MAX_LATENTS
from dfm_flax.codec.pyramid.planning import plan
from dfm_flax.data.images import Image

PICTURES = {
    "black": lambda rng, shape: np.zeros(shape),
    "white": lambda rng, shape: np.ones(shape),
    "noise": lambda rng, shape: rng.random(shape),
    "smooth": lambda rng, shape: np.broadcast_to(np.linspace(0, 1, shape[1])[:, None], shape),
}


def picture(name, shape, levels=255):
    pixels = PICTURES[name](np.random.default_rng(0), shape)
    return Image(np.asarray(np.rint(pixels * levels) / levels, np.float32), levels, name)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(PICTURES)), st.integers(1, 70), st.integers(1, 70),
    st.sampled_from([1, 3]), st.sampled_from([255, 65535]),
    st.one_of(
        st.tuples(st.just("bpp"), st.floats(1e-6, 1e6)),
        st.tuples(st.just("quality"), st.floats(1e-3, 1e9)),
    ),
)  # fmt: skip
def test_every_image_has_a_plan(name, height, width, channels, levels, goal):
    goals = {"bpp": None, "quality": None} | dict([goal])
    planned = plan(picture(name, (height, width, channels), levels), **goals)
    pyramid = planned.pyramid
    assert (pyramid.height, pyramid.width) == (height, width)
    assert pyramid.count >= 1
    assert pyramid.first + pyramid.count <= MAX_GRIDS
    # No grid is smaller than one of a single cell needs to be.
    assert pyramid.count == 1 or 2 ** (pyramid.exponents[-1] - 1) < 2 * max(height, width)
    assert planning._TRADE_OFFS[0] <= planned.trade_off <= planning._TRADE_OFFS[1]
    assert 0 < planned.gain_code < 128


@pytest.mark.parametrize("name", ["noise", "smooth"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_bit_is_worth_less_the_more_there_are(name, channels):
    image = picture(name, (48, 64, channels))
    by_rate = [plan(image, bpp, None).trade_off for bpp in (0.02, 0.1, 0.5, 2.5, 12.5)]
    by_quality = [plan(image, None, quality).trade_off for quality in (5, 15, 25, 35, 50)]
    for trade_offs in (by_rate, by_quality):
        assert trade_offs == sorted(trade_offs, reverse=True)
        assert len(set(trade_offs)) > 1  # of a smooth image the bounds are near


def test_few_bits_need_no_grid_of_all_pixels():
    image = picture("smooth", (48, 64, 3))
    assert plan(image, 0.05, None).pyramid.first == 1
    assert plan(image, 0.5, None).pyramid.first == 0
    # Cells of 64 pixels are the coarsest.
    assert [plan(image, bpp, None).pyramid.count for bpp in (0.05, 0.5)] == [6, 7]


@pytest.mark.parametrize(
    "size", [(1, 1), (4000, 3000), (2**15, 2**12), (2**15, 1), (11_585, 11_585)]
)
def test_no_size_has_more_numbers_than_a_file(size, monkeypatch):
    """Whatever the image: it can be written."""
    monkeypatch.setattr(planning, "_curve_of_jpeg", lambda _: ([0.0, 1.0], [-5.0, -6.0]))
    shape = np.broadcast_to(np.float32(0), (*size, 3))
    planned = plan(Image(shape, 255, "large"), 1.0, None)
    assert planned.pyramid.size <= MAX_LATENTS
    # It gives no more away than it must.
    if planned.pyramid.first:
        assert math.prod(size) > MAX_LATENTS / 2
