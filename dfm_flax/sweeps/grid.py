"""The cells of a sweep: a config for each combination of the grid's values."""

import itertools
import re
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.errors import UsageError

_LONGEST_NAME = 120  # of a cell; file systems take 255 bytes


@dataclass(frozen=True)
class Cell:
    """One combination of a grid's values.

    Attributes:
      index: from 0; the grid's keys are in alphabetical order, the last running fastest.
      name: of its folder, such as `07_depth=3_width=2`; unique, as it begins with the index.
      values: the grid's `section.key: value`.
      config: the sweep's config with these values, without its grid and figures.
    """

    index: int
    name: str
    values: dict[str, Any]
    config: ConfigDict


def make_cells(config: ConfigDict) -> list[Cell]:
    """The cells of a sweep's config: the product of all lists in its section `grid`.

    Raises:
      UsageError: there is no grid, it has a key that is no setting (names the nearest), a value
        of another type than the setting's, or no or equal values for a key.
    """
    if not isinstance(config.get("grid"), ConfigDict):
        raise UsageError("this config has no grid: give config.grid, or use dfm train")
    grid = configs.flatten(config.grid)
    base = configs.to_json(without(config, "grid", "figures"))
    for key, choices in grid.items():
        if not isinstance(choices, tuple | list) or not choices:
            raise UsageError(f"config.grid: {key}={choices!r}: give a list of values")
        if len({str(choice) for choice in choices}) < len(choices):
            raise UsageError(f"config.grid: {key}={choices}: it has a value twice")
    combinations = list(itertools.product(*grid.values()))
    digits = len(str(len(combinations) - 1))
    cells = []
    for index, combination in enumerate(combinations):
        values = dict(zip(grid, combination, strict=True))
        cell_config = configs.from_json(base)
        for key, value in values.items():
            configs.assign(cell_config, key, value, "config.grid")
        cells.append(Cell(index, _name(f"{index:0{digits}}", values), values, cell_config))
    return cells


def without(config: ConfigDict, *sections: str) -> ConfigDict:
    """A copy of a config that lacks some sections, as it is read back from JSON."""
    entries = {key: value for key, value in config.items() if key not in sections}
    return configs.from_json(configs.to_json(ConfigDict(entries)))


def _name(index: str, values: dict[str, Any]) -> str:
    parts = [index]
    for key, value in values.items():
        text = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
        safe = re.sub(r"[^A-Za-z0-9.+-]+", "-", text)  # a value may be the path of an image
        parts.append(f"{key.rpartition('.')[2]}={safe}")
    return "_".join(parts)[:_LONGEST_NAME]
