import numpy as np
import pytest

from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.fourier import FourierMachine, additive_frequencies, frequencies


def test_groups_follow_the_frequencies():
    machine = FourierMachine(
        depth=3, width=4, max_frequencies=(2, 1, 3), additive=(True, False, True)
    )
    first, hidden, last = row_groups(machine)
    k = additive_frequencies(2, 2).sum(axis=1)
    np.testing.assert_array_equal(first, np.concatenate([k, k[1:]]))
    k = frequencies(4, 1).sum(axis=1)
    np.testing.assert_array_equal(hidden, 3 + np.concatenate([k, k[1:]]))
    k = additive_frequencies(4, 3).sum(axis=1)
    np.testing.assert_array_equal(last, 8 + np.concatenate([k, k[1:]]))


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_all_groups_are_there(additive, depth):
    machine = FourierMachine(depth=depth, width=3, max_frequencies=(3, 2, 1), additive=additive)
    groups = np.unique(np.concatenate(row_groups(machine)))
    assert groups.tolist() == list(range(num_groups(machine)))
