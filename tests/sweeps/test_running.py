"""What is trained, what is skipped, and what stops a sweep; training itself is replaced."""

import signal
from types import SimpleNamespace

import pytest

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.runs import Busy, Run
from dfm_flax.sweeps import running
from dfm_flax.sweeps.folder import Sweep
from dfm_flax.training.loop import Interrupted


@pytest.fixture
def trained(monkeypatch):
    """Training that only tells: `cells` has what was trained, of widths in `errors` it fails."""
    cells, errors = [], {}

    def train(config, folder):
        cells.append((config.model.depth, config.model.width))
        if config.model.width in errors:
            raise errors[config.model.width]
        folder.mkdir(parents=True)
        Run(folder).write_results([{"name": "a", "mse": 0.1}])

    monkeypatch.setitem(running._TASKS, "compress", (running._TASKS["compress"][0], train))
    return SimpleNamespace(cells=cells, errors=errors)


def test_finished_cells_are_skipped(config, tmp_path, trained, finish):
    sweep = Sweep(config(), tmp_path)
    finish(sweep, sweep.cells[1])
    assert running.run_cells(sweep, sweep.cells) == {}
    assert trained.cells == [(2, 2), (3, 2), (3, 4)]
    assert not sweep.missing()
    assert sweep.table.read_text().count("\n") == 1 + 3 + 2
    running.run_cells(sweep, sweep.cells)
    assert len(trained.cells) == 3


def test_a_part_of_the_cells(config, tmp_path, trained):
    sweep = Sweep(config(), tmp_path)
    running.run_cells(sweep, sweep.cells[1::2])
    assert trained.cells == [(2, 4), (3, 4)]
    assert [cell.index for cell in sweep.missing()] == [0, 2]


def test_a_cell_that_fails_does_not_stop_the_others(config, tmp_path, trained):
    trained.errors.update({2: DfmError("training diverged")})
    sweep = Sweep(config(), tmp_path)
    failures = running.run_cells(sweep, sweep.cells)
    assert failures == {
        "0_depth=2_width=2": "training diverged",
        "2_depth=3_width=2": "training diverged",
    }
    assert len(trained.cells) == 4
    assert [cell.index for cell in sweep.missing()] == [0, 2]


def test_a_cell_of_another_process_is_left_to_it(config, tmp_path, trained):
    trained.errors.update({2: Busy("another process trains there")})
    sweep = Sweep(config(), tmp_path)
    assert running.run_cells(sweep, sweep.cells) == {}
    assert len(trained.cells) == 4


@pytest.mark.parametrize("error", [Interrupted(signal.SIGTERM, 7), UsageError("no image")])
def test_what_stops_the_sweep(config, tmp_path, trained, error):
    trained.errors.update({4: error})
    sweep = Sweep(config(), tmp_path)
    with pytest.raises(type(error)) as raised:
        running.run_cells(sweep, sweep.cells)
    assert raised.value.exit_code == error.exit_code
    assert trained.cells == [(2, 2), (2, 4)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("grid.model.depth=1,2", "cell 0_depth=1_width=2: config.model: a machine has at least 2"),
        ("grid.model.width=2,30", "cell 1_depth=2_width=30: config.model: a layer would have"),
        ("optimizer.name=sgd", "cell 0_depth=2_width=2: .*'sgd' is not one of adam, soap"),
        ("task=paint", "cell 0_depth=2_width=2: config.task='paint' is not one of"),
    ],
)
def test_wrong_settings_are_found_before_anything_is_trained(config, tmp_path, change, message):
    sweep = Sweep(config(change), tmp_path / "new")
    with pytest.raises(UsageError, match=message):
        running.check_cells(sweep.cells)
    assert not (tmp_path / "new").exists()
