"""What came out of each machine: pictures and metrics, and their means over seeds."""

import math
import statistics
from typing import Any

import numpy as np
from jaxtyping import Float

from dfm_flax.compression.jobs import Job
from dfm_flax.data.images import write_image
from dfm_flax.figures.attempts import told_if_not_drawn
from dfm_flax.figures.reconstruction import reconstruction_figure
from dfm_flax.fourier import FourierMachine
from dfm_flax.metrics.distortion import distortion, percent_of_raw_size
from dfm_flax.models.rendering import render
from dfm_flax.runs import Run
from dfm_flax.training.state import num_parameters


def measure(
    run: Run,
    machine: FourierMachine,
    job: Job,
    params: Any,
    curve: list[tuple[int, float]],
    num_steps: int,
) -> tuple[dict[str, Any], Float[np.ndarray, "height width channels"]]:
    """Writes a machine's reconstruction and figure into the run's folder.

    Args:
      curve: (step, PSNR in dB) during training.
      num_steps: that it was trained for.

    Returns:
      name, image, seed, weights, percent of the raw size by the thesis's rule, mse, psnr (dB),
      ssim and ms_ssim of the reconstruction as it is stored, steps; None where the image is too
      small for a metric, or psnr is infinite. And the reconstruction, in [0, 1].
    """
    original = job.image.pixels
    height, width, channels = original.shape
    picture = render(machine, params, height, width)
    picture = np.rint(picture * job.image.levels) / job.image.levels
    write_image(run.folder / "reconstructions" / f"{job.name}.png", picture, job.image.levels)
    weights = num_parameters(params)
    percent = percent_of_raw_size(weights, height, width, channels)
    metrics = distortion(original, picture)
    title = f"{job.name}: {weights} weights ({percent:.2f}% of raw size), {metrics['psnr']:.2f} dB"
    figure = run.folder / "figures" / f"{job.name}.png"
    with told_if_not_drawn(figure):
        reconstruction_figure(figure, original, picture, curve, title=title)
    # JSON has no NaN: what an image is too small for is null.
    finite = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    entry = {
        "name": job.name,
        "image": job.image.name,
        "seed": job.seed,
        "weights": weights,
        "percent": percent,
        **finite,
        "steps": num_steps,
    }
    return entry, picture


def summarize(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each image, with means over its seeds, and a last one with means over images.

    Where there are several seeds, +- is the standard deviation of the PSNR over them.
    """
    by_image: dict[str, list[dict[str, Any]]] = {}
    for entry in results:
        by_image.setdefault(entry["image"], []).append(entry)
    rows = [{"image": image} | _means(entries) for image, entries in by_image.items()]
    if len(rows) > 1:
        rows.append({"image": f"mean of {len(rows)}"} | _means(results))
    if len(results) > len(by_image):
        for row in rows:
            psnrs = [entry["psnr"] for entry in by_image.get(row["image"], [])]
            row["+-"] = statistics.stdev(psnrs) if psnrs and None not in psnrs else None
            row["seeds"] = len(results) // len(by_image)
    order = (
        "image",
        "seeds",
        "weights",
        "percent",
        "mse",
        "psnr",
        "+-",
        "ssim",
        "ms_ssim",
        "steps",
    )
    return [{key: row[key] for key in order if key in row} for row in rows]


def _means(entries: list[dict[str, Any]]) -> dict[str, Any]:
    keys = ("weights", "percent", "mse", "psnr", "ssim", "ms_ssim", "steps")
    return {key: mean([entry[key] for entry in entries]) for key in keys}


def mean(values: list[Any]) -> Any:
    """The mean of metrics; None if one of them is None."""
    if len(set(values)) == 1:
        return values[0]  # a whole number stays one
    return None if None in values else statistics.fmean(values)
