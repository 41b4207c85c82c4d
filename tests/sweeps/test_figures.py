"""Figures of a sweep whose runs are written by hand."""

import csv
import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from dfm_flax.compression.jobs import start_run
from dfm_flax.data.images import Image, write_image
from dfm_flax.errors import UsageError
from dfm_flax.metrics.distortion import distortion
from dfm_flax.sweeps import figures, jpeg_comparison
from dfm_flax.sweeps.folder import Sweep

WEIGHTS = (50, 1_000, 4_000, 30_000)


@pytest.fixture
def sweep(config, tmp_path):
    """Four cells of two images and two seeds, each with noise of its own on the images."""
    made = Sweep(config(), tmp_path)
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, 1, 64)[:, None, None] * np.linspace(0, 1, 80)[:, None] * np.ones(3)
    images = [
        Image(np.clip(smooth + offset, 0, 1).astype(np.float32), 255, name)
        for name, offset in (("a", 0.0), ("b", 0.1))
    ]
    for cell, weights in zip(made.cells, WEIGHTS, strict=True):
        run = made.run_of(cell)
        start_run(run, cell.config, images)
        entries = []
        for image in images:
            for seed in (0, 1):
                name = f"{image.name}_seed{seed}"
                noise = rng.normal(size=image.pixels.shape) * 0.2 / (cell.index + 1)
                picture = np.clip(image.pixels + noise, 0, 1)
                write_image(run.folder / "reconstructions" / f"{name}.png", picture)
                measures = distortion(image.pixels, picture)
                entries.append(
                    {
                        "name": name,
                        "image": image.name,
                        "seed": seed,
                        "weights": weights,
                        "percent": weights * 32 * 100 / (64 * 80 * 3 * 8),
                        "mse": measures["mse"],
                        "psnr": measures["psnr"],
                        "ms_ssim": None,  # too small
                        "steps": 20,
                    }
                )
        run.write_results(entries)
    return made


def section(**entries):
    return ConfigDict(entries)


def test_figures_of_losses(sweep, monkeypatch):
    """What is handed to the drawing: losses in [-1, 1] and percents; pictures by interval."""
    drawn = {}
    monkeypatch.setattr(figures, "loss_grid_figure", lambda *a, **k: drawn.update(grid=(a, k)))
    monkeypatch.setattr(figures, "pictures_figure", lambda *a, **k: drawn.update(pictures=(a, k)))
    means = [np.mean([4 * 3 * e["mse"] for e in sweep.results(cell)]) for cell in sweep.cells]
    assert means == sorted(means, reverse=True)
    bounds = (means[3] / 2, np.mean(means[1:3]))  # none, then cells 3 and 2, then 1 and 0
    paths = figures.draw_figures(sweep, section(loss_bounds=bounds))
    assert [path.name for path in paths] == ["losses.png", "intervals.png"]
    (_, losses, percents, _), texts = drawn["grid"]
    assert losses == pytest.approx(
        {(2, 2): means[0], (2, 4): means[1], (3, 2): means[2]} | {(3, 4): means[3]}
    )
    assert percents[3, 2] == pytest.approx(4_000 * 4 / (64 * 80 * 3) * 100)
    assert texts["labels"] == ("depth", "width")
    captions = [caption for caption, _ in drawn["pictures"][0][1]]
    assert captions[0] == "original"
    assert len(captions) == 3  # no picture of the interval that has no cell
    assert "depth 3" in captions[1]
    assert "depth 2" in captions[2]


def test_the_drawings_themselves(sweep):
    paths = figures.draw_figures(sweep, section(loss_bounds=(0.03, 0.06), jpeg=True))
    assert len(paths) == 5
    assert all(path.stat().st_size > 100 for path in paths)


def test_the_table_against_jpeg(sweep):
    finished = [(cell, sweep.results(cell)) for cell in sweep.cells]
    jpeg_comparison.compare_with_jpeg(sweep, finished)
    with (sweep.folder / "jpeg.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["cell"], row["image"]) for row in rows] == [
        (str(cell), image) for cell in range(4) for image in "ab"
    ]
    assert rows[0]["jpeg_psnr"] == rows[0]["jpeg_bytes"] == ""  # 200 bytes are not even a header
    for row in rows[2:]:
        assert int(row["jpeg_bytes"]) <= int(row["bytes"]) == 4 * int(row["weights"])
    psnrs = [e["psnr"] for e in sweep.results(sweep.cells[2]) if e["image"] == "b"]
    assert float(rows[5]["psnr"]) == pytest.approx(np.mean(psnrs))
    with (sweep.folder / "jpeg_means.csv").open(newline="") as file:
        means = list(csv.DictReader(file))
    assert means[0]["jpeg_images"] == "0"
    assert means[0]["psnr_there"] == ""
    assert float(means[2]["jpeg_psnr"]) == pytest.approx(
        np.mean([float(row["jpeg_psnr"]) for row in rows[4:6]])
    )


def test_what_is_not_finished_is_left_out(sweep):
    (sweep.run_of(sweep.cells[0]).folder / "results.json").unlink()
    figures.draw_figures(sweep, section(jpeg=True))
    assert len((sweep.folder / "jpeg.csv").read_text().splitlines()) == 1 + 3 * 2
    for cell in sweep.cells[1:]:
        (sweep.run_of(cell).folder / "results.json").write_text(json.dumps([]))
    assert figures.draw_figures(sweep, section(jpeg=True, loss_bounds=(1.0,))) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"loss_bonds": (0.1,)}, "config.figures: loss_bonds: no such setting; did you mean"),
        ({"loss_bounds": (0.2, 0.1)}, "give ascending numbers"),
        ({"loss_bounds": ()}, "give ascending numbers"),
        ({"jpeg": 1}, "jpeg=1 is not True or False"),
    ],
)
def test_figures_that_cannot_be_drawn(config, entries, message):
    made = config().unlock()
    made.figures = ConfigDict(entries)
    with pytest.raises(UsageError, match=message):
        figures.check_figures(made)


def test_figure_5_1_has_two_axes(config):
    made = config().unlock()
    made.grid = ConfigDict({"num_seeds": (2, 3)})
    with pytest.raises(UsageError, match="the grid must be of two settings"):
        figures.check_figures(made)
    made.task = "generation"
    with pytest.raises(UsageError, match="only sweeps of compression"):
        figures.check_figures(made)
