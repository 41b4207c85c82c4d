import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from dfm_flax.config import flatten
from dfm_flax.errors import UsageError
from dfm_flax.sweeps.grid import make_cells


def test_the_product_of_the_grid_with_the_last_key_fastest(config):
    cells = make_cells(config("grid.model.machine.width=2,4,5"))
    assert [(c.config.model.machine.depth, c.config.model.machine.width) for c in cells] == list(
        itertools.product((2, 3), (2, 4, 5))
    )
    assert [c.index for c in cells] == list(range(6))
    assert cells[4].name == "4_depth=3_width=4"
    assert cells[4].values == {"model.machine.depth": 3, "model.machine.width": 4}
    assert cells[4].config.num_seeds == 2  # what the grid does not name is the base's
    assert not {"grid", "figures"} & set(cells[4].config)


def test_indices_have_equal_digits_so_that_folders_sort(config):
    names = [c.name for c in make_cells(config("grid.model.machine.width=2,3,4,5,6,7"))]
    assert names == sorted(names)
    assert names[0].startswith("00_")


def test_values_of_any_type_and_any_section():
    config = ConfigDict({"seed": 0, "model": {"sizes": (1, 2), "learning_rate": 0.1}})
    config.grid = ConfigDict(
        {"seed": (1, 2), "model": {"sizes": ((8, 1), (3,)), "learning_rate": (1, 2.5e-3)}}
    )
    cells = make_cells(config)
    assert len(cells) == 8
    assert cells[0].config.model.sizes == (8, 1)
    assert cells[0].name == "0_learning_rate=1_sizes=8-1_seed=1"
    assert cells[-1].name == "7_learning_rate=0.0025_sizes=3_seed=2"
    assert isinstance(cells[0].config.model.learning_rate, float)
    assert not hasattr(cells[0].config, "grid")


@given(st.lists(st.text(max_size=300), min_size=1, max_size=12, unique=True))
def test_folders_of_any_text_are_different_and_plain(texts):
    config = ConfigDict({"image": "a", "grid": {"image": tuple(texts)}})
    names = [c.name for c in make_cells(config)]
    assert len(set(names)) == len(texts)
    assert all(re.fullmatch(r"[\w.=+-]{1,120}", name, re.ASCII) for name in names)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"model": {"machine": {"detph": (2,)}}}, "config.grid: model.machine.detph: no such sett"),
        ({"model": {"depth": (2, 3)}}, "config.grid: model.depth: is now model.machine.depth"),
        ({"num_seeds": (2, 2.5)}, "num_seeds: 2.5 is not a whole number"),
        ({"num_seeds": ("a",)}, "num_seeds: 'a' is not a whole number"),
        ({"num_seeds": ()}, "num_seeds=(): give a list of values"),
        ({"num_seeds": 3}, "num_seeds=3: give a list of values"),
        ({"num_seeds": (2, 3, 2)}, "it has a value twice"),
    ],
)
def test_grids_without_sense(config, grid, message):
    made = config().unlock()
    made.grid = ConfigDict(grid)
    with pytest.raises(UsageError, match=re.escape(message)):
        make_cells(made)


def test_a_config_of_one_run():
    with pytest.raises(UsageError, match=r"no grid: give config\.grid, or use dfm train"):
        make_cells(ConfigDict({"task": "compression"}))


def test_no_grid_at_all_is_one_cell(config):
    made = config().unlock()
    made.grid = ConfigDict()
    (cell,) = make_cells(made)
    assert cell.values == {}
    assert flatten(cell.config)["model.machine.depth"] == 4
