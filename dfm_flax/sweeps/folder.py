"""A sweep's folder: its config, a run for each cell, and the table gathered from them."""

import csv
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path, check_writable, local_path
from dfm_flax.runs import Run, read_config, write_config
from dfm_flax.sweeps.grid import Cell, make_cells, without

# What a sweep writes when its cells are finished.
_WRITTEN = ("table.csv", "losses.png", "intervals.png", "jpeg.csv", "jpeg_means.csv", "jpeg.png")


class Sweep:
    """The folder of a sweep, `workdir`: sweep.json, cells/NAME for each cell, table.csv.

    Many processes may work in it at once: a cell's run is locked by the one that trains it, and
    its results.json, which appears when it is finished, is the only word on it.

    Raises:
      UsageError: see `make_cells`.
    """

    def __init__(self, config: ConfigDict, workdir: str | Path):
        self.folder = local_path(workdir)
        self.cells = make_cells(config)
        self._config = without(config, "figures")  # those can be drawn anew

    @property
    def table(self) -> Path:
        return self.folder / "table.csv"

    def run_of(self, cell: Cell) -> Run:
        return Run(self.folder / "cells" / cell.name)

    def check_same(self) -> None:
        """Raises UsageError, with the difference, if the folder has a sweep of another config."""
        file = self.folder / "sweep.json"
        try:
            started = read_config(file)
        except FileNotFoundError:
            return
        changes = configs.difference(started, self._config)
        if changes:
            raise UsageError(
                f"{self.folder} holds a sweep with another config ({'; '.join(changes)}); "
                "use the same settings to go on, or another --workdir"
            )

    def start(self) -> None:
        """Writes the config into a new folder.

        Raises:
          UsageError: as `check_same`, or there are cells of an unknown config, or files of a
            user's that the sweep would replace.
        """
        check_writable(self.folder / "sweep.json")
        cells_first = (self.folder / "cells").exists()  # who starts writes the config first
        users = [name for name in _WRITTEN if (self.folder / name).exists()]
        self.check_same()
        if (self.folder / "sweep.json").exists():
            return
        if cells_first:
            raise UsageError(
                f"--workdir {self.folder}: there are cells, but no sweep.json of their sweep; "
                "restore it, or use another --workdir"
            )
        if users:
            raise UsageError(
                f"--workdir {self.folder}: no sweep is here, but {users[0]}, which a sweep would "
                "replace; use another --workdir"
            )
        write_config(self.folder / "sweep.json", self._config)
        self.check_same()  # another process may have started another sweep at that moment

    def results(self, cell: Cell) -> list[dict[str, Any]] | None:
        """What the run of a cell found, an entry a machine; None while it is not finished."""
        try:
            return self.run_of(cell).read_json("results.json")
        except UsageError:  # there is none, or it is damaged: the cell is to be measured again
            return None

    def missing(self) -> list[Cell]:
        """The cells that are not finished."""
        return [cell for cell in self.cells if self.results(cell) is None]

    def rows(self) -> list[dict[str, Any]]:
        """All results of all finished cells: cell's index, values of the grid, the entry."""
        return [
            {"cell": cell.index, **cell.values, **entry}
            for cell in self.cells
            for entry in self.results(cell) or ()
        ]

    def write_table(self) -> None:
        """Writes table.csv, a row for each entry of each finished cell.

        Of many processes that do so at once the last leaves it complete: each looks again after
        it has written, so what finished meanwhile is in one's second look or the other's first.
        """
        written = None
        while (rows := self.rows()) != written:
            write_csv(self.table, rows)
            written = rows


def write_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    """Writes rows as CSV, with a column for each key that any of them has; None is empty."""
    columns = dict.fromkeys(key for row in rows for key in row)
    with atomic_path(file) as path, path.open("w", newline="", encoding="utf-8") as opened:
        table = csv.DictWriter(opened, list(columns))
        table.writeheader()
        table.writerows(rows)
