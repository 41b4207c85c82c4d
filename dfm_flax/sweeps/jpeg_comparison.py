"""The images of a sweep by machines and by JPEG of the same size."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from dfm_flax.baselines.jpeg import Jpeg, jpeg_within
from dfm_flax.compression.jobs import stored_images
from dfm_flax.compression.results import mean
from dfm_flax.data.images import Image, read_image
from dfm_flax.figures.attempts import told_if_not_drawn
from dfm_flax.figures.pictures import pictures_figure
from dfm_flax.metrics.distortion import distortion
from dfm_flax.sweeps.folder import Sweep, write_csv
from dfm_flax.sweeps.grid import Cell

_BYTES_A_WEIGHT = 4  # the thesis's rule of size

Finished = list[tuple[Cell, list[dict[str, Any]]]]
Panels = list[tuple[str, Float[np.ndarray, "height width channels"] | None]]


def compare_with_jpeg(sweep: Sweep, finished: Finished) -> list[Path]:
    """Writes jpeg.csv, jpeg_means.csv, and jpeg.png with an image by each cell and by JPEG.

    A JPEG has at most 4 bytes for each weight of the machine. In jpeg.csv a row for each cell
    and image: size, PSNR (dB) and MS-SSIM of the machine as means over its seeds, and of the
    JPEG; empty where no JPEG is so small.

    Returns:
      The files written.
    """
    rows = []
    above: Panels = [("original", stored_images(sweep.run_of(finished[0][0]))[0].pixels)]
    below: Panels = [("JPEG\nof at most the same size", None)]
    for cell, entries in finished:
        run = sweep.run_of(cell)
        for number, image in enumerate(stored_images(run)):
            machines = [entry for entry in entries if entry["image"] == image.name]
            jpeg = jpeg_within(image.pixels, _BYTES_A_WEIGHT * machines[0]["weights"])
            row = _row(image, machines, jpeg)
            rows.append({"cell": cell.index, **cell.values, **row})
            if number == 0:
                picture = read_image(run.folder / "reconstructions" / f"{machines[0]['name']}.png")
                title = f"DFM, {row['percent']:.3g}%\n{_decibels(machines[0]['psnr'])}"
                above.append((title, picture.pixels))
                below.append(_panel(jpeg, row["jpeg_psnr"]))
    table, means, figure = (sweep.folder / f"jpeg{end}" for end in (".csv", "_means.csv", ".png"))
    write_csv(table, rows)
    write_csv(means, summarize_jpeg(rows))
    written = [table, means]
    with told_if_not_drawn(figure, written):
        pictures_figure(figure, above + below, columns=len(above))
    return written


def _panel(
    jpeg: Jpeg | None, psnr: float | None
) -> tuple[str, Float[np.ndarray, "height width channels"] | None]:
    if jpeg is None:
        return "no JPEG is so small", None
    return f"JPEG, quality {jpeg.quality}\n{_decibels(psnr)}", jpeg.pixels


def _decibels(psnr: float | None) -> str:
    return "equal" if psnr is None or math.isinf(psnr) else f"{psnr:.1f} dB"


def summarize_jpeg(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the images of each cell; those of JPEG, and against it, where there is one."""
    means = []
    for index in dict.fromkeys(row["cell"] for row in rows):
        ours = [row for row in rows if row["cell"] == index]
        both = [row for row in ours if row["jpeg_psnr"] is not None]
        means.append(
            {
                "percent": ours[0]["percent"],
                "images": len(ours),
                "psnr": _mean(ours, "psnr"),
                "jpeg_images": len(both),
                "psnr_there": _mean(both, "psnr"),
                "jpeg_psnr": _mean(both, "jpeg_psnr"),
                "ms_ssim_there": _mean(both, "ms_ssim"),
                "jpeg_ms_ssim": _mean(both, "jpeg_ms_ssim"),
            }
        )
    return means


def _row(image: Image, machines: list[dict[str, Any]], jpeg: Jpeg | None) -> dict[str, Any]:
    metrics = distortion(image.pixels, jpeg.pixels) if jpeg is not None else {}
    return {
        "image": image.name,
        "weights": machines[0]["weights"],
        "percent": machines[0]["percent"],
        "bytes": _BYTES_A_WEIGHT * machines[0]["weights"],
        "psnr": _mean(machines, "psnr"),
        "ms_ssim": _mean(machines, "ms_ssim"),
        "jpeg_quality": jpeg.quality if jpeg is not None else None,
        "jpeg_bytes": jpeg.num_bytes if jpeg is not None else None,
        "jpeg_psnr": metrics.get("psnr"),
        "jpeg_ms_ssim": metrics.get("ms_ssim"),
    }


def _mean(entries: list[dict[str, Any]], key: str) -> float | None:
    return mean([entry[key] for entry in entries]) if entries else None
