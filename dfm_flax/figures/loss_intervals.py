"""Figure 5.1 of the thesis: final losses over a grid of two settings, colored by interval."""

import bisect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from dfm_flax.files import atomic_path

_DPI = 100


def interval_of(loss: float, bounds: Sequence[float]) -> int:
    """The number of the interval that a loss is in: 0 below the first bound, and so on."""
    return bisect.bisect_right(bounds, loss)


def interval_name(interval: int, bounds: Sequence[float]) -> str:
    if interval == 0:
        return f"below {bounds[0]:g}"
    if interval == len(bounds):
        return f"{bounds[-1]:g} and more"
    return f"{bounds[interval - 1]:g} to {bounds[interval]:g}"


def loss_grid_figure(
    path: str | Path,
    losses: Mapping[tuple[Any, Any], float],
    percents: Mapping[tuple[Any, Any], float],
    bounds: Sequence[float],
    *,
    labels: tuple[str, str],
    title: str,
) -> None:
    """Writes a PNG with a square for each (row, column), as figure 5.1.

    Args:
      path: the PNG to write.
      losses: by (row, column) value; its interval is the square's color.
      percents: of the raw size, by (row, column): what the square says.
      bounds: between the intervals, ascending, one or more.
      labels: of the vertical and the horizontal axis.
      title: the line on top.

    Raises:
      UsageError: the file cannot be written.
    """
    rows, columns = (list(dict.fromkeys(key[axis] for key in losses)) for axis in (0, 1))
    # Small losses bright: what is dark has learned nothing.
    shades = matplotlib.colormaps["viridis"](np.linspace(1, 0.1, len(bounds) + 1))
    figure = Figure(figsize=(1.6 + 0.75 * len(columns) + 2.1, 1.2 + 0.6 * len(rows)), dpi=_DPI)
    axes = figure.add_subplot()
    for (row, column), loss in losses.items():
        shade = to_rgb(shades[interval_of(loss, bounds)])
        x, y = columns.index(column), rows.index(row)
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=shade, edgecolor="white"))
        bright = np.dot(shade, (0.299, 0.587, 0.114)) > 0.5
        axes.text(
            x,
            y,
            f"{percents[row, column]:.3g}%",
            ha="center",
            va="center",
            size=9,
            color="black" if bright else "white",
        )
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xticks(range(len(columns)), [str(value) for value in columns])
    axes.set_yticks(range(len(rows)), [str(value) for value in rows])
    axes.set_ylabel(labels[0])
    axes.set_xlabel(labels[1])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, size=11, parse_math=False)
    patches = [
        Patch(color=shade, label=interval_name(interval, bounds))
        for interval, shade in enumerate(shades)
    ]
    axes.legend(
        handles=patches, title="mean final loss", loc="center left", bbox_to_anchor=(1, 0.5)
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", bbox_inches="tight")
