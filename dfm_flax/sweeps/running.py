"""Training the cells of a sweep: side by side what agrees in shapes, the rest in order."""

import logging
from collections.abc import Sequence
from typing import Any

import jax

from dfm_flax import config as configs
from dfm_flax.errors import DfmError, UsageError
from dfm_flax.runs import Busy
from dfm_flax.sweeps.folder import Sweep
from dfm_flax.sweeps.grid import Cell
from dfm_flax.tasks import task_of
from dfm_flax.training.checkpoints import Checkpoints

log = logging.getLogger(__name__)


def check_cells(cells: Sequence[Cell]) -> None:
    """Raises UsageError, naming the cell, for settings that no run can have."""
    for cell in cells:
        try:
            task_of(cell.config).check(cell.config)
        except UsageError as error:
            raise UsageError(f"cell {cell.name}: {error}") from error


def run_cells(sweep: Sweep, cells: Sequence[Cell], together: int) -> dict[str, str]:
    """Trains, or goes on training, those of the cells that are not finished.

    Cells that differ in numbers only are trained side by side, up to `together` of them. A cell
    that another process trains is left to it. A cell that fails, such as by a loss that is not
    finite, does not stop the others. The table is written whenever some are finished.

    Returns:
      The message of each cell that failed, by its name.

    Raises:
      UsageError: settings or input cannot be used.
      DfmError: interrupted; the same call goes on.
    """
    failures: dict[str, str] = {}
    for group in group_cells(sweep, cells, together):
        failures |= _run_group(sweep, group)
    return failures


def group_cells(sweep: Sweep, cells: Sequence[Cell], most: int) -> list[list[Cell]]:
    """The unfinished cells in groups that can be trained side by side, of at most `most`."""
    alike: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        if sweep.results(cell) is None:
            alike.setdefault(_what_must_agree(sweep, cell), []).append(cell)
    return [
        group[first : first + most]
        for group in alike.values()
        for first in range(0, len(group), most)
    ]


def _what_must_agree(sweep: Sweep, cell: Cell) -> tuple[Any, ...]:
    may_differ = task_of(cell.config).may_differ
    if not may_differ:
        return (cell.index,)
    shapes = {
        key: value for key, value in configs.flatten(cell.config).items() if key not in may_differ
    }
    step = Checkpoints(sweep.run_of(cell).checkpoints, read_only=True).newest_step()
    return (step, *shapes.items())


def _run_group(sweep: Sweep, cells: list[Cell]) -> dict[str, str]:
    """Trains cells side by side; if that does not go well, half of them and then the others.

    So the cells that fail, or that another process trains, are found, and the others go on side
    by side, from their newest checkpoints.
    """
    cells = [
        cell
        for cell in cells
        if sweep.results(cell) is None and not sweep.run_of(cell).busy()  # by now
    ]
    if not cells:
        return {}
    names = ", ".join(cell.name for cell in cells)
    log.info("training %d of %d cells: %s", len(cells), len(sweep.cells), names)
    try:
        _train(sweep, cells)
    except DfmError as error:
        if error.exit_code != 1 and not isinstance(error, Busy):
            raise  # not these runs' failure: asked to stop, or wrong input
        if len(cells) > 1:
            log.warning("%s; the cells are trained in two halves", error)
            half = len(cells) // 2
            return _run_group(sweep, cells[:half]) | _run_group(sweep, cells[half:])
        if isinstance(error, Busy):
            log.info("cell %s: another process trains it", cells[0].name)
            return {}
        log.error("cell %s: %s", cells[0].name, error)
        return {cells[0].name: str(error)}
    finally:
        jax.clear_caches()  # or the programs of all cells stay in memory
    sweep.write_table()
    return {}


def _train(sweep: Sweep, cells: list[Cell]) -> None:
    folders = [sweep.run_of(cell).folder for cell in cells]
    task_of(cells[0].config).train_together([cell.config for cell in cells], folders)
