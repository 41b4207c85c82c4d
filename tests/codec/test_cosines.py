import numpy as np

from dfm_flax.codec.cosines import PHASES, UNIT, cosine_table


def test_cosines_are_the_nearest_whole_numbers():
    exact = UNIT * np.cos(2 * np.pi * np.arange(PHASES) / PHASES)
    assert cosine_table().dtype == np.int32
    # None is so near to a half that float64 could not tell.
    assert np.abs(exact % 1 - 0.5).min() > 1e-6
    np.testing.assert_array_equal(cosine_table(), np.rint(exact))


def test_the_wave_is_symmetrical():
    table = cosine_table()
    assert (table[1:] == table[:0:-1]).all()
    assert (table == -np.roll(table, PHASES // 2)).all()
    assert table[[0, 1024, 2048, 3072]].tolist() == [UNIT, 0, -UNIT, 0]


def test_nobody_can_change_it():
    assert not cosine_table().flags.writeable
