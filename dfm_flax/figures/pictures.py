"""Pictures with captions, side by side."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Real
from matplotlib.figure import Figure

from dfm_flax.files import atomic_path

_DPI = 100
_SIDE = 200  # of a picture's column, in the figure's pixels
_CAPTION_LINE = 16


def pictures_figure(
    path: str | Path,
    pictures: Sequence[tuple[str, Real[np.ndarray, "_height _width _channels"] | None]],
    columns: int,
) -> None:
    """Writes a PNG of pictures, row by row.

    Args:
      path: the PNG to write.
      pictures: captions and images in [0, 1] of 1 or 3 channels, one or more; None leaves the
        place white.
      columns: pictures in a row.

    Raises:
      UsageError: the file cannot be written.
    """
    rows = -(-len(pictures) // columns)
    lines = max(caption.count("\n") + 1 for caption, _ in pictures)
    tallest = max(p.shape[0] / p.shape[1] for _, p in pictures if p is not None)
    row_height = _SIDE * tallest + _CAPTION_LINE * (lines + 2)
    figure = Figure(
        figsize=(columns * (_SIDE + 10) / _DPI, rows * row_height / _DPI),
        dpi=_DPI,
        layout="constrained",
    )
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel in panels:
        panel.set_axis_off()
    for panel, (caption, picture) in zip(panels, pictures, strict=False):
        if picture is None:
            panel.text(0.5, 0.5, caption, ha="center", va="center", size=9, parse_math=False)
            continue
        samples = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
        panel.imshow(np.broadcast_to(samples, (*samples.shape[:2], 3)))
        panel.set_title(caption, size=9, parse_math=False)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        # A name in a script that the font lacks: its letters become boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(temporary, format="png")
