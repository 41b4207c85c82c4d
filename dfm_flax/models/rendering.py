"""Images from machines: evaluation at the pixels of a grid of any size."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float, Float32, Int32
from tqdm import tqdm

from dfm_flax.data.positions import pixel_centers
from dfm_flax.errors import UsageError
from dfm_flax.typing import AnyArray, Count

_TILE = 16_384  # positions evaluated at once: a few dispatches an image, some MB of memory


Region = tuple[int, int, int, int]


def render(
    model: nn.Module, params: Any, height: int, width: int, region: Region | None = None
) -> Float32[np.ndarray, "height width channels"]:
    """The image in [0, 1] of a model of positions, at any size.

    Args:
      model: maps positions [N, 2] in the unit square to colors [N, C] in [-1, 1].
      params: its parameters.
      height: in pixels. Memory beyond the image itself is bounded by one tile.
      width: in pixels.
      region: (left, top, width, height) of the part to draw, in pixels; None for all.

    Raises:
      UsageError: the size is more pixels than 32 bits count, or the region is not in the image.
    """
    left, top, columns, rows = region or (0, 0, width, height)
    if min(left, top) < 0 or min(columns, rows) < 1:
        raise UsageError(f"region {region}: sizes are at least 1, and corners at least 0")
    if left + columns > width or top + rows > height:
        raise UsageError(
            f"region {columns}x{rows} at {left},{top} is not within the {width}x{height} pixels"
        )
    count = rows * columns
    if count + _TILE >= 2**31 or max(height, width) >= 2**31:
        raise UsageError(f"{columns} x {rows} are too many pixels: fewer than 2**31 can be drawn")
    grid = np.array([left, top, columns, width, height], np.int32)
    shape = jax.eval_shape(functools.partial(_tile, model), params, 0, grid).shape
    image = np.empty((count, shape[-1]), np.float32)
    with tqdm(
        total=count, unit="pixel", unit_scale=True, delay=2, leave=False, disable=None
    ) as bar:
        for first in range(0, count, _TILE):
            tile = np.asarray(_tile(model, params, first, grid))[: count - first]
            np.clip((tile + 1) / 2, 0, 1, out=image[first : first + len(tile)])
            bar.update(len(tile))
    return image.reshape(rows, columns, -1)


@functools.partial(jax.jit, static_argnums=0)
def _tile(
    model: nn.Module, params: Any, first: Count, grid: Int32[AnyArray, "5"]
) -> Float[jax.Array, "tile channels"]:
    left, top, columns, width, height = grid
    index = first + jnp.arange(_TILE)
    centers = pixel_centers(left + index % columns, top + index // columns, height, width)
    with jax.default_matmul_precision("highest"):  # the same picture on every device
        colors: Any = model.apply({"params": params}, centers)
    return colors
