import numpy as np
import pytest

from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.fourier import FourierMachine


def test_groups_are_numbered_through_the_layers():
    """A machine of 2, 2 and 1 features, by hand."""
    machine = FourierMachine(
        3, (2, 2), 1, basis=("additive", "full", "additive"), max_frequencies=(2, 1, 1)
    )
    first, hidden, last = (groups.tolist() for groups in row_groups(machine))
    # a_0, then x, y at f = 1 and at f = 2; cosines, then sines
    assert first == [0, 1, 1, 2, 2, 1, 1, 2, 2]
    # (0, 0), (0, 1), (1, 0), (1, 1), and without the first
    assert hidden == [3, 4, 4, 5, 4, 4, 5]
    assert last == [6, 7, 7, 7, 7]
    assert num_groups(machine) == 8


@pytest.mark.parametrize("basis", ["full", "additive", ("full", "additive", "full")])
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_all_groups_are_there(basis, depth):
    machine = FourierMachine(depth, 3, basis=basis, max_frequencies=(3, 2, 1))
    groups = np.unique(np.concatenate(row_groups(machine)))
    assert groups.tolist() == list(range(num_groups(machine)))
