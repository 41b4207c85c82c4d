from fractions import Fraction

import numpy as np

from dfm_flax.codec.powers import ONE, halved, step_size


def test_powers_are_exact_floors():
    """2^30 2^(-e/256) is between n and n + 1 exactly if its 256th power is."""
    for e in (0, 1, 2, 100, 255, 256, 300, 1000, 5000):
        n, power = int(halved(e)), Fraction(ONE**256, 2**e)
        # A shift of a floor is the floor of the shifted; the table itself may lose one unit.
        assert n**256 <= power < (n + 2) ** 256


def test_huge_exponents_are_zero():
    assert halved([31 * 256, 10**9]).tolist() == [0, 0]


def test_steps_are_the_nearest_float32():
    codes = np.arange(256)
    expected = (2.0 ** (-codes / 8)).astype(np.float32)
    np.testing.assert_array_max_ulp(step_size(codes), expected, 1)
    assert step_size(codes).dtype == np.float32
    assert (step_size(codes[::8]) == 2.0 ** -np.arange(32)).all()
