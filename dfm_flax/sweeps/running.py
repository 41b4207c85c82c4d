"""Training the cells of a sweep, one after the other."""

import logging
from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.runs import Busy
from dfm_flax.sweeps.folder import Sweep
from dfm_flax.sweeps.grid import Cell
from dfm_flax.tasks import compress, generate
from dfm_flax.tasks.generation.settings import check_settings

log = logging.getLogger(__name__)

# Of each task: what refuses wrong settings, and what trains.
_TASKS = {
    "compress": (compress.check_settings, compress.train),
    "generate": (check_settings, generate.train),
}


def check_cells(cells: Sequence[Cell]) -> None:
    """Raises UsageError, naming the cell, for settings that no run can have."""
    for cell in cells:
        try:
            _task(cell.config)[0](cell.config)
        except UsageError as error:
            raise UsageError(f"cell {cell.name}: {error}") from error


def run_cells(sweep: Sweep, cells: Sequence[Cell]) -> dict[str, str]:
    """Trains, or goes on training, those of the cells that are not finished.

    A cell that another process trains is left to it. A cell that fails, such as by a loss that
    is not finite, does not stop the others. The table is written after each.

    Returns:
      The message of each cell that failed, by its name.

    Raises:
      UsageError: settings or input cannot be used.
      DfmError: interrupted; the same call goes on.
    """
    failures = {}
    for cell in cells:
        if sweep.results(cell) is not None:
            continue
        log.info("cell %s, of %d", cell.name, len(sweep.cells))
        try:
            _task(cell.config)[1](cell.config, sweep.run_of(cell).folder)
        except Busy:
            log.info("cell %s: another process trains it", cell.name)
            continue
        except DfmError as error:
            if error.exit_code != 1:  # not this run's failure: asked to stop, or wrong input
                raise
            log.error("cell %s: %s", cell.name, error)
            failures[cell.name] = str(error)
            continue
        finally:
            jax.clear_caches()  # or the programs of all cells stay in memory
        sweep.write_table()
    return failures


def _task(config: ConfigDict):
    task = config.get("task")
    if task not in _TASKS:
        raise UsageError(f"config.task={task!r} is not one of {', '.join(_TASKS)}")
    return _TASKS[task]
