"""Pictures from grids and weights, at any size.

The 3x3 filter looks one pixel of the original image up, down, left and right, whatever the size
that is drawn, and no further than the centers of its outermost pixels.

A picture is drawn tile by tile. Those of a column share the products of grids with the columns'
matrices, so that tiles cost no more operations than the whole at once.
"""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int32
from tqdm import tqdm

from dfm_flax.codec.pyramid.geometry import Lines, Pyramid
from dfm_flax.codec.pyramid.network import Network, Weights
from dfm_flax.models.rendering import Region, check_region
from dfm_flax.typing import AnyArray

_ROWS, _COLUMNS = 128, 1024  # pixels drawn at once, some hundred bytes each


@dataclass(frozen=True)
class _Part:
    """Rows or columns of a tile.

    Attributes:
      start: the first, among those of the picture.
      count: how many there are. As many are drawn of the last part as of the others, so that all
        are one compiled function; nobody takes what is too many.
      at: where the series are needed, in pixels of the original.
      index: where among these those are of the pixel before each, of its own, and of that behind.
    """

    start: int
    count: int
    at: Float[np.ndarray, "needed"]
    index: Int32[np.ndarray, "3 drawn"]


def render(
    network: Network,
    weights: Weights,
    pyramid: Pyramid,
    gain: float,
    grids: list[Int32[np.ndarray, "_height _width"]],
    height: int,
    width: int,
    region: Region | None = None,
) -> Float32[np.ndarray, "rows columns channels"]:
    """The picture in [0, 1] of an image, drawn with height x width pixels, or a region of that.

    Raises:
      UsageError: the region is not in the picture, or it has more pixels than can be drawn.
    """
    left, top, columns, rows = check_region(height, width, region)
    across = _parts(left, columns, width, pyramid.width, _COLUMNS)
    down = _parts(top, rows, height, pyramid.height, _ROWS)
    picture = np.empty((rows, columns, network.channels), np.float32)
    numbers = network.values(tuple(grid.astype(np.float32) for grid in grids), gain)
    total = len(across) * len(down)
    with tqdm(total=total, unit="tile", delay=2, leave=False, disable=None) as bar:
        for x in across:
            lines = _lines(numbers, pyramid.columns_at(x.at))
            for y in down:
                drawn = _draw(network, weights, lines, pyramid.rows_at(y.at), y.index, x.index)
                tile = np.asarray(drawn)[:, : y.count, : x.count].transpose(1, 2, 0)
                picture[y.start : y.start + y.count, x.start : x.start + x.count] = tile
                bar.update()
    return np.clip(picture, 0, 1, out=picture)


def _parts(first: int, count: int, drawn: int, size: int, most: int) -> list[_Part]:
    """A line of pixels in parts.

    Args:
      first, count: which pixels of the picture.
      drawn: how many it has.
      size: how many the original has.
      most: pixels of a part.
    """
    length = -(-count // -(-count // most))
    parts = []
    for start in range(0, count, length):
        pixels = np.minimum(first + start + np.arange(length), drawn - 1)
        at = (pixels + 0.5) * (size / drawn)
        before, behind = (np.clip(at + way, 0.5, size - 0.5) for way in (-1, 1))
        needed, index = np.unique(np.stack([before, at, behind]), return_inverse=True)
        index = index.reshape(3, length).astype(np.int32)
        parts.append(_Part(start, min(length, count - start), needed, index))
    longest = max(len(part.at) for part in parts)
    return [
        _Part(
            part.start,
            part.count,
            np.pad(part.at, (0, longest - len(part.at)), mode="edge"),
            part.index,
        )
        for part in parts
    ]


@jax.jit
def _lines(
    grids: tuple[Float[AnyArray, "_nodes_y _nodes_x"], ...], columns: Lines
) -> tuple[Float[jax.Array, "_nodes_y positions"], ...]:
    """The grids at these columns."""
    with jax.default_matmul_precision("highest"):
        return tuple(jnp.matmul(grid, at.T) for grid, at in zip(grids, columns, strict=True))


@functools.partial(jax.jit, static_argnums=0)
def _draw(
    network: Network,
    weights: Weights,
    lines: tuple[Float[AnyArray, "_nodes_y needed"], ...],
    rows: Lines,
    y_index: Int32[AnyArray, "3 rows"],
    x_index: Int32[AnyArray, "3 columns"],
) -> Float[jax.Array, "channels rows columns"]:
    with jax.default_matmul_precision("highest"):  # the same picture on every device
        values = tuple(jnp.matmul(at, line) for at, line in zip(rows, lines, strict=True))
        picture = network.draw(weights, jax.lax.optimization_barrier(values))
        total = picture[:, y_index[1]][:, :, x_index[1]]
        for a in range(3):
            for b in range(3):
                shifted = picture[:, y_index[a]][:, :, x_index[b]]
                total = total + jnp.einsum("oc,cyx->oyx", weights["filter"][:, a, b], shifted)
        return total
