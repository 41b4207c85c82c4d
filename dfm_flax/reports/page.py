"""A comparison of codecs as one HTML page that needs no other file."""

import base64
import html
import io
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Real
from matplotlib.figure import Figure

from dfm_flax.baselines import published
from dfm_flax.codec.comparison import COIN, Comparison
from dfm_flax.data.images import to_pillow
from dfm_flax.files import atomic_path
from dfm_flax.metrics.rate_distortion import (
    Point,
    bd_rate,
    frontier,
    mean_curve,
    rate_at,
)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: right }
th:first-child, td:first-child { text-align: left } tr:nth-child(even) { background: #f3f3f3 }
.row { display: flex; flex-wrap: wrap; gap: .5rem } figure { margin: 0 }
figcaption { font-size: .85rem } img { max-width: 100%; image-rendering: pixelated }
svg { max-width: 100%; height: auto }
"""

_ABOUT_RATES = (
    "BD-rate: by how many percent a file is smaller (negative) than that of the codec above, on "
    "average over the PSNRs that both reach."
)
_ABOUT_PUBLISHED = (
    "BD-rate of the means of the files here to those that others published for all 24 of Kodak's "
    "images: it also has by what these images are easier or harder than all."
)
_ABOUT_COIN = (
    "Published: Dupont et al. 2021, means over the 24 Kodak images, the curve of all images here "
    "beside them. Others were trained here on that image, as long as a .dfm file."
)


def write_page(path: str | Path, comparisons: list[Comparison], ours: str, note: str = "") -> None:
    """Writes the page: curves, BD-rates, and pictures side by side.

    Args:
      comparisons: an image each.
      ours: the name of the codec that others are compared with.
      note: a line on what was measured, as text.
    """
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width'>",
        f"<title>Rate and distortion</title><style>{_STYLE}</style>",
        "<h1>Rate and distortion</h1>",
        f"<p>{len(comparisons)} images. {html.escape(note)}</p>",
        _curves(comparisons),
        _section("Rate at equal PSNR", _ABOUT_RATES, bd_table(comparisons, ours)),
        _section(
            "Rate at the PSNR of published means",
            _ABOUT_PUBLISHED,
            published_table(comparisons, ours),
        ),
        _section("Rate at COIN's PSNR", _ABOUT_COIN, coin_table(comparisons, ours)),
        "<h2>At equal size</h2>",
        *map(_pictures, comparisons),
        "</html>",
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def bd_table(comparisons: list[Comparison], ours: str) -> list[dict[str, Any]]:
    """BD-rate of ours to each codec in percent: a row an image, and the mean of those known."""
    others = [name for name in _codecs(comparisons) if name != ours]
    rates = [
        {name: bd_rate(one.points.get(name, []), one.points[ours]) for name in others}
        for one in comparisons
    ]
    means = {}
    for name in others:
        known = [row[name] for row in rates if np.isfinite(row[name])]
        means[name] = float(np.mean(known)) if known else np.nan
    names = [one.name for one in comparisons]
    return [
        {"image": image} | {name: rate if np.isfinite(rate) else None for name, rate in row.items()}
        for image, row in zip([*names, "mean"], [*rates, means], strict=True)
    ]


def coin_table(comparisons: list[Comparison], ours: str) -> list[dict[str, Any]]:
    """Our rate at COIN's PSNRs: those published, for Kodak images, and those trained here."""
    rows = []
    if _half_of_kodak(comparisons):
        mean = [Point(*point) for point in _mean_curve([one.points[ours] for one in comparisons])]
        rows += [
            _against("published mean of 24", point, mean)
            for point in published.means_of_kodak()["COIN"]
        ]
    return rows + [
        _against(one.name, point, one.points[ours])
        for one in comparisons
        for point in one.points.get(COIN, [])
    ]


def published_table(comparisons: list[Comparison], ours: str) -> list[dict[str, Any]]:
    """BD-rate in percent of our means to those published for all Kodak images.

    A mean is that of rates and of PSNRs, over files that stand at the same place of all images.
    """
    curves = [one.points[ours] for one in comparisons]
    if not _half_of_kodak(comparisons) or len(set(map(len, curves))) > 1:
        return []
    mean = [
        Point(*np.mean([(point.bpp, point.psnr, point.ms_ssim) for point in points], axis=0))
        for points in zip(*curves, strict=True)
    ]
    return [
        {"published mean of 24": name, "BD-rate": rate if np.isfinite(rate) else None}
        for name, points in published.means_of_kodak().items()
        for rate in [bd_rate(points, mean)]
    ]


def _against(name: str, point: Point, curve: list[Point]) -> dict[str, Any]:
    rate = rate_at(curve, point.psnr)
    known = np.isfinite(rate)
    return {
        "image": name,
        "PSNR": f"{point.psnr:.2f}",
        "COIN's bpp": f"{point.bpp:.3f}",
        "bpp": f"{rate:.3f}" if known else None,
        "change": 100 * (rate / point.bpp - 1) if known else None,
    }


def _codecs(comparisons: list[Comparison]) -> list[str]:
    return list(dict.fromkeys(name for one in comparisons for name in one.points))


def _half_of_kodak(comparisons: list[Comparison]) -> bool:
    """Whether means published for its 24 images say something about the mean of these."""
    return len(comparisons) >= 12 and all(one.is_of_kodak for one in comparisons)


def _mean_curve(curves: list[list[Point]]) -> list[tuple[float, float, float]]:
    """Rate, and means of PSNR and MS-SSIM, over the rates that all curves have."""
    low = max(min(point.bpp for point in curve) for curve in curves)
    high = min(max(point.bpp for point in curve) for curve in curves)
    if low > high:
        return []
    rates = np.geomspace(low, high, 40) if low < high else np.array([low])
    return [
        (rate, *means)
        for rate, means in zip(rates.tolist(), mean_curve(curves, rates).tolist(), strict=True)
    ]


def _curves(comparisons: list[Comparison]) -> str:
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.subplots(1, 2)
    for name in _codecs(comparisons):
        curves = [frontier(one.points[name]) for one in comparisons if name in one.points]
        label = name if len(curves) == len(comparisons) else f"{name} ({len(curves)} images)"
        mean = np.array(_mean_curve(curves))
        for column, axis in enumerate(axes, start=1):
            if len(mean):
                marker = "o" if len(mean) == 1 else ""
                axis.plot(mean[:, 0], mean[:, column], label=label, marker=marker)
    if _half_of_kodak(comparisons):
        for name, points in published.means_of_kodak().items():
            rates, qualities = zip(*((point.bpp, point.psnr) for point in points), strict=True)
            axes[0].plot(rates, qualities, ":", label=f"{name} (mean of 24)")
    for axis, label in zip(axes, ("PSNR (dB)", "MS-SSIM"), strict=True):
        axis.set(xlabel="bits per pixel", ylabel=label, xscale="log")
        axis.grid(alpha=0.3)
        axis.legend()
    file = io.StringIO()
    figure.savefig(file, format="svg")
    return file.getvalue()[file.getvalue().index("<svg") :]


def _section(heading: str, about: str, rows: list[dict[str, Any]]) -> str:
    """A table with its heading; nothing without rows."""
    return f"<h2>{heading}</h2><p>{about}</p>{_table(rows)}" if rows else ""


def _table(rows: list[dict[str, Any]]) -> str:
    def cell(value: Any) -> str:
        return "-" if value is None else f"{value:+.1f}%" if isinstance(value, float) else value

    head = "".join(f"<th>{html.escape(key)}" for key in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell(value))}" for value in row.values())
        for row in rows
    )
    return f"<table><tr>{head}{body}</table>"


def _pictures(comparison: Comparison) -> str:
    figures = [_picture(comparison.original, "original")]
    for name, shown in comparison.shown.items():
        figures.append(_picture(shown.pixels, f"{name}: {_say(shown.point)}"))
    return f"<h3>{html.escape(comparison.name)}</h3><div class='row'>{''.join(figures)}</div>"


def _say(point: Point) -> str:
    structure = f", MS-SSIM {point.ms_ssim:.3f}" if np.isfinite(point.ms_ssim) else ""
    return f"{point.bpp:.3f} bpp, {point.psnr:.2f} dB{structure}"


def _picture(pixels: Real[np.ndarray, "height width channels"], caption: str) -> str:
    """An image without loss, in 8 bits."""
    samples = np.rint(pixels * 255).astype(np.uint8)
    file = io.BytesIO()
    to_pillow(samples).convert("RGB").save(file, "WEBP", lossless=True)
    data = base64.b64encode(file.getvalue()).decode()
    alt = html.escape(caption)
    return (
        f"<figure><img alt='{alt}' src='data:image/webp;base64,{data}'>"
        f"<figcaption>{alt}</figcaption></figure>"
    )
