"""Measured speeds as a file and a picture."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import jax
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dfm_flax.figures.attempts import told_if_not_drawn
from dfm_flax.files import atomic_path
from dfm_flax.fourier.series import evaluation


def write(data: Path, figure: Path, rows: list[dict[str, Any]]) -> None:
    """Writes measured speeds as JSON, and a figure of them.

    Args:
      rows: from the cases of `speed`.
    """
    where = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "devices": [str(device) for device in jax.devices()],
        "jax": jax.__version__,
        "evaluation": evaluation(),
    }
    with atomic_path(data) as path:
        path.write_text(json.dumps({"where": where, "rows": rows}, indent=1) + "\n")
    with told_if_not_drawn(figure):
        _plot(figure, rows)


def _plot(file: Path, rows: list[dict[str, Any]]) -> None:
    compared = [row for row in rows if "ratio" in row and row["case"] != "scaling"]
    scaled = [row for row in rows if row["case"] == "scaling"]
    heights = [0.3 * len(compared) + 1, 3.5 * bool(scaled) + 0.01]
    figure = Figure(figsize=(9, sum(heights)), layout="constrained")
    parts = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)[:, 0]
    if compared:
        _plot_ratios(parts[0].subplots(), compared)
    if scaled:
        _plot_scaling(list(parts[1].subplots(1, 3, sharey=True)), scaled)
    with atomic_path(file) as path:
        figure.savefig(path, dpi=110)


def _plot_ratios(ax: Axes, rows: list[dict[str, Any]]) -> None:
    labels = [f"{_case(row)}: {row['contender']}" for row in rows]
    ratios = [row["ratio"] for row in rows]
    colors = ["tab:blue" if row["contender"] == "ours" else "silver" for row in rows]
    bars = ax.barh(range(len(rows)), ratios, color=colors)
    ax.bar_label(bars, [f" {ratio:.1f}" for ratio in ratios])
    ax.set_yticks(range(len(rows)), labels)
    ax.invert_yaxis()
    ax.set_xlabel("time over ours")
    ax.margins(x=0.1)


def _plot_scaling(panels: list[Axes], rows: list[dict[str, Any]]) -> None:
    """Percent of peak over each size, the others as in most of the rows."""
    usual = {"depth": 6, "width": 8, "positions": 4_096}
    for ax, key in zip(panels, ("positions", "width", "depth"), strict=True):
        others = [other for other in usual if other != key]
        points = sorted(
            (row[key], row["percent_of_peak"])
            for row in rows
            if key == "positions" or row["positions"] == usual["positions"]
            if all(row[other] == usual[other] for other in others if other != "positions")
        )
        ax.plot(*zip(*points, strict=True), marker="o")
        ax.set_xscale("log" if key == "positions" else "linear")
        ax.set_ylim(0)
        ax.set_xlabel(key)
        ax.grid(alpha=0.3)
    panels[0].set_ylabel("percent of peak")


def _case(row: dict[str, Any]) -> str:
    sizes = [f"{row[key]:,} {key}" for key in ("machines", "weights", "positions") if key in row]
    return f"{row['case']}, {', '.join(sizes)}"
