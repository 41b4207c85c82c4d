import numpy as np
import pytest

from dfm_flax.codec import laplace
from dfm_flax.codec.laplace import (
    MAX_PREFIX,
    REACH,
    WIDTHS,
    cumulative_tables,
    escape_bits,
    escape_order,
    lengths,
    table_row,
)

CODES = np.arange(-WIDTHS, WIDTHS + 1)


@pytest.fixture(scope="module")
def frequencies():
    """[width codes, fractions from -8, differences from -REACH]."""
    return np.diff(cumulative_tables()).reshape(len(CODES), 16, -1)


def masses(code, fraction, differences):
    """Of a Laplace distribution, in the bins around differences, in float64."""
    b, z = 2 ** (code / 8), np.abs(differences - fraction / 16)
    beyond = 0.5 * np.exp(-np.abs(z - 0.5) / b)
    beyond = np.where(z < 0.5, 1 - beyond, beyond)
    return beyond - 0.5 * np.exp(-(z + 0.5) / b)


def test_every_symbol_has_a_share_of_the_total(frequencies):
    assert cumulative_tables().dtype == np.int32
    assert frequencies.min() == 1
    assert (cumulative_tables()[:, 0] == 0).all()
    assert (cumulative_tables()[:, -1] == 2**24).all()


def test_a_mean_to_the_other_side_mirrors_the_table(frequencies):
    for fraction in range(8):
        mirrored = frequencies[:, 8 - fraction, ::-1]
        np.testing.assert_array_equal(frequencies[:, 8 + fraction], mirrored)


def test_frequencies_fall_to_both_sides(frequencies):
    steps = np.diff(frequencies[..., 1:-1])  # escapes stand for all beyond
    assert (steps[..., : REACH - 2] >= 0).all()
    assert (steps[..., REACH:] <= 0).all()


def test_tables_are_those_distributions(frequencies):
    differences = np.arange(-REACH, REACH + 1)
    for code in CODES:
        for fraction in range(-8, 8):
            expected = masses(code, fraction, differences)
            for end in (0, -1):
                distance = REACH - 0.5 + fraction / (16 if end == 0 else -16)
                expected[end] = 0.5 * np.exp(-distance / 2 ** (code / 8))
            table = frequencies[code + WIDTHS, fraction + 8] / 2**24
            np.testing.assert_allclose(table, expected, rtol=1e-4, atol=2e-5)
            divergence = np.sum(expected * np.log2(np.maximum(expected, 1e-300) / table))
            assert -1e-9 < divergence < 2e-5  # bits an integer


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("excess", [0, 1, 2, 5, 31, 32, 1000, 65470])
def test_escapes_are_exp_golomb_codes(excess, order):
    bits = escape_bits(excess, order)
    prefix = bits.index(0)
    assert prefix <= MAX_PREFIX
    assert len(bits) == 2 * prefix + 1 + order
    digits = int("".join(map(str, [1, *bits[prefix + 1 :]])), 2)
    assert digits - (1 << order) == excess


def test_orders_of_escapes_follow_the_scale():
    rows = table_row([-40, -1, 0, 7, 8, 39, 40], [0, 7, -8, 7, -8, 7, 7])
    assert escape_order(rows).tolist() == [0, 0, 0, 0, 1, 4, 5]


def test_lengths_are_those_of_symbols_and_escapes(frequencies):
    for difference in (-66000, -200, -64, -63, 0, 5, 63, 64, 65, 66000):
        for code, fraction in ((-40, 0), (3, -8), (40, 7)):
            row = int(table_row(code, fraction))
            symbol = int(np.clip(difference, -REACH, REACH)) + REACH
            bits = 24 - np.log2(frequencies[code + WIDTHS, fraction + 8, symbol])
            if abs(difference) >= REACH:
                bits += len(escape_bits(abs(difference) - REACH, int(escape_order(row))))
            assert lengths(np.array([difference]), np.array([row]))[0] == pytest.approx(bits)


@pytest.mark.parametrize(
    ("code", "excess"), [(-40, 0.005), (-16, 0.005), (8, 0.005), (32, 0.005), (40, 0.01)]
)
def test_lengths_of_samples_are_near_the_ideal(code, excess):
    # At the widest, 13% of the integers are escapes.
    rng = np.random.default_rng(code + WIDTHS)
    fractions = rng.integers(-8, 8, 20_000)
    samples = np.rint(rng.laplace(fractions / 16, 2 ** (code / 8))).astype(np.int64)
    ideal = -np.log2(masses(code, fractions, samples)).sum()
    assert abs(lengths(samples, table_row(code, fractions)).sum() - ideal) < excess * ideal


def test_nobody_can_change_the_tables():
    assert not laplace.cumulative_tables().flags.writeable
