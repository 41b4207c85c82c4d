import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfm_flax.codec import entropy
from dfm_flax.codec.entropy import LARGEST, MAX_WIDTH, SHAPES, decode, encode, frequency_table


@pytest.mark.parametrize("shape", range(SHAPES))
@pytest.mark.parametrize("width", [0, 1, 31, 32, 40, 77, 110, MAX_WIDTH])
def test_tables_are_those_bell_curves(shape, width):
    table = frequency_table(shape, width)
    assert table.dtype == np.int64
    assert table.sum() == 2**24
    assert table.min() >= 1
    assert (table == table[::-1]).all()
    reach = len(table) // 2
    w = 2 ** ((width - 32) / 8)
    assert reach == min(int(24 * w) + 2, LARGEST)
    n = np.abs(np.arange(-reach, reach + 1))
    expected = 2.0 ** -((n / w) ** (1, 1.5, 2)[shape])
    expected /= expected.sum()
    divergence = np.sum(expected * np.log2(np.maximum(expected, 1e-300) / (table / 2**24)))
    assert divergence < 0.005  # bits an integer


groups_of_integers = st.lists(
    st.lists(st.integers(-50, 50) | st.integers(-LARGEST, LARGEST), max_size=30), max_size=6
)


@settings(max_examples=50, deadline=None)
@given(groups_of_integers)
def test_round_trip(lists):
    groups = [np.array(group, np.int32) for group in lists]
    shape, widths, words = encode(groups)
    decoded = decode(words, shape, widths, [group.size for group in groups])
    for group, again in zip(groups, decoded, strict=True):
        np.testing.assert_array_equal(group, again)


@pytest.mark.parametrize(("draw", "exponent"), [("laplace", 0), ("normal", 2)])
@pytest.mark.parametrize("scale", [0.2, 3, 200])
def test_lengths_are_near_the_entropy(draw, exponent, scale):
    rng = np.random.default_rng(0)
    group = np.rint(getattr(rng, draw)(0, scale, 20_000)).astype(int)
    shape, (width,), words = encode([group])
    assert shape == exponent or scale < 1  # narrow ones look alike
    _, counts = np.unique(group, return_counts=True)
    empirical = -np.sum(counts * np.log2(counts / group.size))
    assert 32 * len(words) == pytest.approx(entropy.bits(shape, width, group), abs=64)
    # Counts fitted to this very sample are shorter by what it takes to send them.
    assert empirical < 32 * len(words) < empirical * 1.02 + 20 * len(counts)


def test_the_width_is_the_best_of_all():
    rng = np.random.default_rng(1)
    group = np.append(np.rint(rng.laplace(0, 5, 300)), 400).astype(int)
    shape, (width,), _ = encode([group])
    lengths = [entropy.bits(shape, w, group) for w in range(MAX_WIDTH + 1)]
    assert lengths[width] == min(lengths)


@pytest.mark.parametrize("groups", [[np.zeros(10_000, int)], [np.arange(50), np.zeros(999, int)]])
@pytest.mark.parametrize("bits", [0.01, 0.5, 8])
def test_words_can_be_made_more(groups, bits):
    sizes = [group.size for group in groups]
    least = int(bits * sum(sizes) / 32)
    shape, widths, words = encode(groups, least)
    assert least <= len(words) <= max(2 * least, len(encode(groups)[2])) + 2
    for group, again in zip(groups, decode(words, shape, widths, sizes), strict=True):
        np.testing.assert_array_equal(group, again)


def test_words_have_an_end():
    with pytest.raises(ValueError, match="take no 501 words"):
        encode([np.zeros(1000, int)], 501)


def test_too_large_integers_are_refused():
    with pytest.raises(ValueError, match="cannot be coded"):
        encode([np.array([LARGEST + 1])])


def test_words_that_nothing_codes_to():
    with pytest.raises(ValueError, match="damaged"):
        decode(np.full(3, 2**32 - 1), 0, [32], [100])
    with pytest.raises(ValueError, match="more in it"):
        decode(encode([np.arange(200)])[2], 0, [100], [2])
