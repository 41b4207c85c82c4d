"""One figure of one reconstruction: original, reconstruction, error, training curve."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Real
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import ArrayLike

from dfm_flax.files import atomic_path

ERROR_GAIN = 5

_DPI = 100

# Lengths in the figure's pixels. A picture is enlarged a whole number of times while it stays
# under _ENLARGED_SIDE, and reduced only above _LARGEST_SIDE, so most are shown pixel by pixel.
_ENLARGED_SIDE = 512
_LARGEST_SIDE = 640
_SMALLEST_SIDE = 24  # a thinner picture, such as 1 x 5000, is stretched to be seen
_CAPTION_WIDTH = 240
_CAPTION_HEIGHT = 40
_TITLE_HEIGHT = 44
_MARGIN = 24
_CURVE_WIDTH, _CURVE_HEIGHT = 420, 260  # at least: the curve fills its column or row
_TICKS_LEFT, _TICKS_BELOW = 72, 48

_Box = tuple[float, float, float, float]  # left, top, width, height


def reconstruction_figure(
    path: str | Path,
    original: ArrayLike,
    reconstruction: ArrayLike,
    curve: Sequence[tuple[int, float]],
    *,
    title: str,
) -> None:
    """Writes a PNG of both images, their amplified error and the training curve.

    The panels stand side by side, or below each other if the image is over twice as wide as
    high. The error is |original - reconstruction| times `ERROR_GAIN`, clipped to [0, 1].

    Args:
      path: the PNG to write.
      original: image [H, W, 1 or 3] with values in [0, 1].
      reconstruction: image of the same shape.
      curve: (step, PSNR in dB) pairs during training, any number; infinite ones are left out.
      title: the line on top, such as the image's name, PSNR and size.

    Raises:
      UsageError: the file cannot be written.
      ValueError: the shapes differ or are not [H, W, 1] or [H, W, 3].
    """
    original, reconstruction = np.asarray(original), np.asarray(reconstruction)
    shape = original.shape
    if shape != reconstruction.shape or len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            f"expected two images of one shape [H, W, 1 or 3], got {shape}, {reconstruction.shape}"
        )
    pictures = {
        "Original": original,
        "Reconstruction": reconstruction,
        f"Absolute error \N{MULTIPLICATION SIGN} {ERROR_GAIN}": ERROR_GAIN
        * np.abs(original - reconstruction),
    }
    size, boxes = _layout(*shape[:2])
    figure = Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI)
    # A dollar sign in a file's name is no mathematics.
    figure.text(
        0.5, 1 - _MARGIN / size[1], title, size=16, ha="center", va="center", parse_math=False
    )
    for box, (caption, pixels) in zip(boxes, pictures.items(), strict=False):
        _draw_picture(_axes(figure, size, box, caption), pixels)
    _draw_curve(_axes(figure, size, boxes[-1], "Training curve"), curve)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # A name in a script that the font lacks: its letters become boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(temporary, format="png")


def _layout(height: int, width: int) -> tuple[tuple[float, float], list[_Box]]:
    """The figure's (width, height), and the boxes of three pictures and the curve."""
    enlargement = _enlargement(height, width)
    height, width = (max(_SMALLEST_SIDE, round(side * enlargement)) for side in (height, width))
    left, top = _MARGIN, _TITLE_HEIGHT + _CAPTION_HEIGHT
    stacked = width > 2 * height
    column = max(width, _TICKS_LEFT + _CURVE_WIDTH if stacked else _CAPTION_WIDTH)
    right, down = (0, height + _CAPTION_HEIGHT) if stacked else (column + _MARGIN, 0)
    boxes: list[_Box] = [
        (left + i * right + (column - width) // 2, top + i * down, width, height) for i in range(3)
    ]
    curve_left, curve_top = left + 3 * right + _TICKS_LEFT, top + 3 * down
    curve_width = column - _TICKS_LEFT if stacked else _CURVE_WIDTH
    curve_height = _CURVE_HEIGHT if stacked else max(_CURVE_HEIGHT, height - _TICKS_BELOW)
    boxes.append((curve_left, curve_top, curve_width, curve_height))
    figure_width = curve_left + curve_width + _MARGIN
    figure_height = curve_top + curve_height + _TICKS_BELOW + _MARGIN
    return (figure_width, figure_height), boxes


def _enlargement(height: int, width: int) -> float:
    side = max(height, width)
    return _LARGEST_SIDE / side if side > _LARGEST_SIDE else max(1, _ENLARGED_SIDE // side)


def _axes(figure: Figure, size: tuple[float, float], box: _Box, caption: str) -> Axes:
    left, top, width, height = box
    bottom = size[1] - top - height
    axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
    axes.set_title(caption, size=14, pad=8)
    return axes


def _draw_picture(axes: Axes, pixels: Real[np.ndarray, "height width channels"]) -> None:
    reduced = _enlargement(*pixels.shape[:2]) < 1
    # As 8-bit RGB, because Matplotlib rounds floats down and its gray map is not exact.
    pixels = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    interpolation = "antialiased" if reduced else "nearest"
    axes.imshow(pixels, aspect="auto", interpolation=interpolation)
    axes.set_axis_off()


def _draw_curve(axes: Axes, curve: Sequence[tuple[int, float]]) -> None:
    steps = [step for step, psnr in curve if math.isfinite(psnr)]
    psnrs = [psnr for _, psnr in curve if math.isfinite(psnr)]
    axes.plot(steps, psnrs, marker="o" if len(steps) == 1 else "", clip_on=False)
    axes.set_xlim(0, max([1, *steps]))
    axes.set_xlabel("step", size=12)
    axes.set_ylabel("PSNR in dB", size=12)
    axes.tick_params(labelsize=11)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if not steps:
        axes.text(0.5, 0.5, "none recorded", transform=axes.transAxes, ha="center", color="gray")
        axes.set_yticks([])
