"""A sweep on the terminal: means over each cell's seeds and images."""

from typing import Any

from dfm_flax.compression.results import mean
from dfm_flax.sweeps.folder import Sweep


def summarize(sweep: Sweep) -> list[dict[str, Any]]:
    """A row for each finished cell: its values of the grid, and the means of all metrics.

    A mean is None where an entry has none.
    """
    rows = []
    for cell in sweep.cells:
        entries = sweep.results(cell)
        if entries:
            keys = [key for key in entries[0] if key != "seed" and _numbers(entries, key)]
            means = {key: mean([entry[key] for entry in entries]) for key in keys}
            rows.append({"cell": cell.name, "machines": len(entries), **means})
    columns = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key) for key in columns} for row in rows]


def _numbers(entries: list[dict[str, Any]], key: str) -> bool:
    return all(isinstance(entry[key], int | float | None) for entry in entries)
