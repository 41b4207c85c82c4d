"""What is trained, what is skipped, and what stops a sweep; training itself is replaced."""

import signal
from types import SimpleNamespace

import pytest
from ml_collections import ConfigDict

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.runs import Busy, Run
from dfm_flax.sweeps import running
from dfm_flax.sweeps.folder import Sweep
from dfm_flax.training.loop import Interrupted


@pytest.fixture
def trained(monkeypatch):
    """Training that only tells: `cells` has what was trained, of widths in `errors` it fails.

    So it does of the indices of cells in `errors`; `groups` has what was trained side by side.
    """
    cells, groups, errors = [], [], {}

    def train(sweep, group):
        cells.extend(
            (cell.config.model.machine.depth, cell.config.model.machine.width) for cell in group
        )
        groups.append([cell.index for cell in group])
        for cell in group:
            for key in (cell.config.model.machine.width, f"cell {cell.index}"):
                if key in errors:
                    raise errors[key]
        for cell in group:
            folder = sweep.run_of(cell).folder
            folder.mkdir(parents=True, exist_ok=True)
            Run(folder).write_results([{"name": "a", "mse": 0.1}])

    monkeypatch.setattr(running, "_train", train)
    return SimpleNamespace(cells=cells, groups=groups, errors=errors)


def test_finished_cells_are_skipped(config, tmp_path, trained, finish):
    sweep = Sweep(config(), tmp_path)
    finish(sweep, sweep.cells[1])
    assert running.run_cells(sweep, sweep.cells, 16) == {}
    assert trained.cells == [(2, 2), (3, 2), (3, 4)]
    assert not sweep.missing()
    assert sweep.table.read_text().count("\n") == 1 + 3 + 2
    running.run_cells(sweep, sweep.cells, 16)
    assert len(trained.cells) == 3


def test_a_part_of_the_cells(config, tmp_path, trained):
    sweep = Sweep(config(), tmp_path)
    running.run_cells(sweep, sweep.cells[1::2], 16)
    assert trained.cells == [(2, 4), (3, 4)]
    assert [cell.index for cell in sweep.missing()] == [0, 2]


def test_a_cell_that_fails_does_not_stop_the_others(config, tmp_path, trained):
    trained.errors.update({2: DfmError("training diverged")})
    sweep = Sweep(config(), tmp_path)
    failures = running.run_cells(sweep, sweep.cells, 16)
    assert failures == {
        "0_depth=2_width=2": "training diverged",
        "2_depth=3_width=2": "training diverged",
    }
    assert len(trained.cells) == 4
    assert [cell.index for cell in sweep.missing()] == [0, 2]


def test_a_cell_of_another_process_is_left_to_it(config, tmp_path, trained):
    trained.errors.update({2: Busy("another process trains there")})
    sweep = Sweep(config(), tmp_path)
    assert running.run_cells(sweep, sweep.cells, 16) == {}
    assert len(trained.cells) == 4


@pytest.fixture
def sweep(config, tmp_path):
    """A sweep of 20 cells: five learning rates and two variances of each of two widths."""
    made = config()
    made.unlock().grid = ConfigDict(
        {
            "optimizer": {"learning_rate": (1e-3, 2e-3, 3e-3, 4e-3, 5e-3)},
            "model": {"machine": {"width": (2, 3), "variances": ((2e-5,), (1e-4,))}},
        }
    )
    return Sweep(made, tmp_path)


def test_what_differs_in_numbers_is_trained_side_by_side(sweep, trained, finish):
    widths = [cell.values["model.machine.width"] for cell in sweep.cells]
    two, three = ([i for i, w in enumerate(widths) if w == width] for width in (2, 3))
    assert len(two) == len(three) == 10  # of five learning rates and two variances each
    finish(sweep, sweep.cells[two[3]])
    running.run_cells(sweep, sweep.cells, 6)
    two.pop(3)
    assert trained.groups == [two[:6], two[6:], three[:6], three[6:]]
    assert not sweep.missing()


def test_cells_at_different_steps_are_not_side_by_side(sweep, trained):
    cells = [cell for cell in sweep.cells if cell.values["model.machine.width"] == 2]
    index = [cell.index for cell in cells]
    for i in (2, 5):
        (sweep.run_of(cells[i]).checkpoints / "40").mkdir(parents=True)
    running.run_cells(sweep, cells, 16)
    assert trained.groups == [
        [i for i in index if i not in (index[2], index[5])],
        [index[2], index[5]],
    ]


def test_those_that_fail_are_found_and_the_others_stay_side_by_side(sweep, trained):
    cells = [cell for cell in sweep.cells if cell.values["model.machine.width"] == 2][:8]
    bad = cells[5].index
    trained.errors[f"cell {bad}"] = DfmError("training diverged")
    assert running.run_cells(sweep, cells, 16) == {cells[5].name: "training diverged"}
    index = [cell.index for cell in cells]
    assert trained.groups == [
        index,
        index[:4],
        index[4:],
        index[4:6],
        index[4:5],
        index[5:6],
        index[6:],
    ]
    assert {cell.index for cell in sweep.missing()} & set(index) == {bad}


def test_those_that_another_process_trains_are_not_begun(sweep, trained):
    with sweep.run_of(sweep.cells[0]).lock():
        assert running.run_cells(sweep, sweep.cells[:5:2], 16) == {}
    assert trained.groups == [[2, 4]]


def test_those_that_another_process_has_just_begun_are_left_to_it(sweep, trained):
    cells = [cell for cell in sweep.cells if cell.values["model.machine.width"] == 2][:4]
    trained.errors[f"cell {cells[0].index}"] = Busy("another process trains there")
    assert running.run_cells(sweep, cells, 16) == {}
    index = [cell.index for cell in cells]
    assert trained.groups == [index, index[:2], index[:1], index[1:2], index[2:]]


@pytest.mark.parametrize("error", [Interrupted(signal.SIGTERM, 7), UsageError("no image")])
def test_what_stops_the_sweep(config, tmp_path, trained, error):
    trained.errors.update({4: error})
    sweep = Sweep(config(), tmp_path)
    with pytest.raises(type(error)) as raised:
        running.run_cells(sweep, sweep.cells, 16)
    assert raised.value.exit_code == error.exit_code
    assert trained.cells == [(2, 2), (2, 4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "grid.model.machine.depth=1,2",
            "cell 0_depth=1_width=2: config.model.*: a machine has at l",
        ),
        ("grid.model.machine.width=2,30", "cell 1_depth=2_width=30: config.model.*: a layer"),
        ("optimizer.name=sgd", "cell 0_depth=2_width=2: .*'sgd' is not one of adam, soap"),
        ("task=paint", "cell 0_depth=2_width=2: .*'paint' is not one of"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_trained(config, tmp_path, change, message):
    sweep = Sweep(config(change), tmp_path / "new")
    with pytest.raises(UsageError, match=message):
        running.check_cells(sweep.cells)
    assert not (tmp_path / "new").exists()
