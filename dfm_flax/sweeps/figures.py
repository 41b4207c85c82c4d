"""The figures of a sweep, as the section `figures` of its config asks for them.

loss_bounds: losses.png and intervals.png, figures 5.1 and 5.2 with these bounds of intervals.
jpeg: jpeg.csv, jpeg_means.csv and jpeg.png, the same images by JPEG of the same size.
"""

import functools
import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.compression.jobs import stored_images
from dfm_flax.data.images import read_image
from dfm_flax.errors import UsageError
from dfm_flax.figures.attempts import told_if_not_drawn
from dfm_flax.figures.loss_intervals import interval_name, interval_of, loss_grid_figure
from dfm_flax.figures.pictures import pictures_figure
from dfm_flax.sweeps.folder import Sweep
from dfm_flax.sweeps.grid import Cell
from dfm_flax.sweeps.jpeg_comparison import compare_with_jpeg

_SETTINGS = {"loss_bounds": (0.1, 0.2), "jpeg": True}


def check_figures(config: ConfigDict) -> None:
    """Raises UsageError for a section `figures` that cannot be drawn of this sweep."""
    figures = config.get("figures", ConfigDict())
    configs.check(ConfigDict({**_SETTINGS, **figures}), "config.figures", ConfigDict(_SETTINGS))
    if len(figures) and config.get("task") != "compression":
        raise UsageError("config.figures: only sweeps of compression have figures")
    if "loss_bounds" in figures:
        bounds = figures.loss_bounds
        if not bounds or any(a >= b for a, b in itertools.pairwise(bounds)):
            raise UsageError(f"config.figures.loss_bounds={bounds}: give ascending numbers")
        if len(configs.flatten(config.grid)) != 2:
            raise UsageError("config.figures.loss_bounds: the grid must be of two settings")


def draw_figures(sweep: Sweep, figures: ConfigDict) -> list[Path]:
    """Writes the figures that are asked for, of the finished cells; returns their files."""
    finished = [(cell, entries) for cell in sweep.cells if (entries := sweep.results(cell))]
    paths: list[Path] = []
    if finished and "loss_bounds" in figures:
        paths += _draw_intervals(sweep, finished, figures.loss_bounds)
    if finished and figures.get("jpeg"):
        paths += compare_with_jpeg(sweep, finished)
    return paths


def final_loss(entry: dict[str, Any], channels: int) -> float:
    """Equation 4.7 over all pixels of the picture as it is stored, colors in [-1, 1]."""
    return 4 * channels * float(entry["mse"])


def _draw_intervals(
    sweep: Sweep, finished: list[tuple[Cell, list[dict[str, Any]]]], bounds: Sequence[float]
) -> list[Path]:
    original = stored_images(sweep.run_of(finished[0][0]))[0].pixels
    loss = functools.partial(final_loss, channels=original.shape[-1])
    means = [statistics.fmean(map(loss, entries)) for _, entries in finished]
    first = finished[0][1]
    machines = f"{len(first)} machines" if len(first) > 1 else "one machine"
    keys = [tuple(cell.values.values()) for cell, _ in finished]
    grid, pictures = sweep.folder / "losses.png", sweep.folder / "intervals.png"
    rows, columns = (key.rpartition(".")[2] for key in finished[0][0].values)
    percents = {
        key: entries[0]["percent"] for key, (_, entries) in zip(keys, finished, strict=True)
    }
    drawn: list[Path] = []
    with told_if_not_drawn(grid, drawn):
        loss_grid_figure(
            grid,
            dict(zip(keys, means, strict=True)),
            percents,
            bounds,
            labels=(rows, columns),
            title=f"{first[0]['image']}: mean loss of {machines} after {first[0]['steps']} steps",
        )
    panels = [("original", original)]
    for interval in range(len(bounds) + 1):
        inside = [i for i, mean in enumerate(means) if interval_of(mean, bounds) == interval]
        if not inside:
            continue
        # Of the interval's cells the middle one, and of its machines the one nearest to its mean.
        middle = sorted(inside, key=means.__getitem__)[len(inside) // 2]
        cell, entries = finished[middle]
        image = [entry for entry in entries if entry["image"] == entries[0]["image"]]
        entry = min(image, key=lambda entry: abs(loss(entry) - means[middle]))
        file = sweep.run_of(cell).folder / "reconstructions" / f"{entry['name']}.png"
        values = ", ".join(f"{k.rpartition('.')[2]} {v}" for k, v in cell.values.items())
        caption = (
            f"{interval_name(interval, bounds)}: {loss(entry):.3g}\n"
            f"{values}, {entry['percent']:.3g}%"
        )
        panels.append((caption, read_image(file).pixels))
    with told_if_not_drawn(pictures, drawn):
        pictures_figure(pictures, panels, columns=3)
    return drawn
