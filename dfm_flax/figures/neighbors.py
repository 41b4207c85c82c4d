"""A picture of generated images next to the training images nearest to them.

A generator that has memorized its training images shows the same image twice.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from dfm_flax.files import atomic_path

_SIDE = 48  # of an image in the figure's pixels, at least
_GAP = 4
_MARGIN, _TITLE, _CAPTION = 16, 40, 28
_BETWEEN = 24
_CAPTION_LETTER = 8  # width, a little more than the mean
_DPI = 100


def neighbors_figure(
    path: str | Path,
    images: UInt8[np.ndarray, "images height width channels"],
    columns: dict[str, UInt8[np.ndarray, "images _neighbors _height _width _channels"]],
    *,
    title: str,
) -> None:
    """Writes a PNG with a row for each image, and its neighbors under one caption or more.

    Args:
      path: the PNG to write.
      images: generated images, of 1 or 3 channels.
      columns: neighbors of each image, nearest first, by caption.
      title: the line on top.

    Raises:
      UsageError: the file cannot be written.
    """
    panels = {"generated": images[:, np.newaxis], **columns}
    enlargement = max(1, -(-_SIDE // max(images.shape[1:3])))
    pictures = {caption: _tile(rows, enlargement) for caption, rows in panels.items()}
    height = max(picture.shape[0] for picture in pictures.values())
    column_widths = [
        max(picture.shape[1], _CAPTION_LETTER * len(caption))
        for caption, picture in pictures.items()
    ]
    left, top = _MARGIN, _TITLE + _CAPTION
    width = left + sum(column_widths) + _BETWEEN * (len(pictures) - 1) + _MARGIN
    size = width, top + height + _MARGIN
    figure = Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI)
    figure.text(
        _MARGIN / size[0], 1 - _TITLE / 2 / size[1], title, size=11, va="center", parse_math=False
    )
    for (caption, picture), column_width in zip(pictures.items(), column_widths, strict=True):
        width = picture.shape[1]
        box = (left / size[0], _MARGIN / size[1], width / size[0], height / size[1])
        axes = figure.add_axes(box)
        axes.imshow(picture, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(caption, size=10, loc="left", pad=6)
        left += column_width + _BETWEEN
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _tile(
    rows: UInt8[np.ndarray, "rows columns height width channels"], enlargement: int
) -> UInt8[np.ndarray, "picture_height picture_width 3"]:
    """Images as one RGB picture, whole multiples of their size, on white."""
    rows = np.broadcast_to(rows, (*rows.shape[:-1], 3))
    rows = rows.repeat(enlargement, axis=2).repeat(enlargement, axis=3)
    gaps = [(0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)]
    rows = np.pad(rows, gaps, constant_values=255)
    n, k, height, width, channels = rows.shape
    picture = rows.transpose(0, 2, 1, 3, 4).reshape(n * height, k * width, channels)
    return picture[:-_GAP, :-_GAP]
