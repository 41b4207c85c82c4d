import numpy as np

from dfm_flax.generation.great_circle import great_circle


def test_great_circle():
    first, second = np.array([2.0, 0, 0]), np.array([0, 4.0, 0])
    way = great_circle(first, second, 3)
    np.testing.assert_allclose(way[1], 3 * np.array([0.5**0.5, 0.5**0.5, 0]))
    for end in (first, -first, 0 * first):  # no circle, or any: straight
        way = great_circle(first, end, 3)
        np.testing.assert_allclose(way[1], (first + end) / 2, atol=1e-9)


def test_steps_are_even_in_angle_and_length():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 50))
    way = great_circle(first, second, 6)
    np.testing.assert_allclose(way[[0, -1]], [first, second])
    lengths = np.linalg.norm(way, axis=1)
    np.testing.assert_allclose(np.diff(lengths), np.diff(lengths)[0])
    units = way / lengths[:, None]
    angles = np.arccos(np.sum(units[1:] * units[:-1], axis=1))
    np.testing.assert_allclose(angles, angles[0])
