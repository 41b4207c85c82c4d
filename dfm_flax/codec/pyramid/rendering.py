"""Pictures from grids and weights, at any size.

The 3x3 filter looks one pixel of the original image up, down, left and right, whatever the size
that is drawn, and no further than the centers of its outermost pixels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int32
from tqdm import tqdm

from dfm_flax.codec.pyramid.geometry import Matrices, Pyramid, values_at
from dfm_flax.codec.pyramid.network import Network, Weights
from dfm_flax.models.rendering import Region, check_region
from dfm_flax.typing import AnyArray

_BAND = 2**18  # pixels drawn at once, some hundred bytes each


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
    across, x_index = _around(
        (left + np.arange(columns) + 0.5) * (pyramid.width / width), pyramid.width
    )
    picture = np.empty((rows, columns, network.channels), np.float32)
    numbers = tuple(gain * grid.astype(np.float32) for grid in grids)
    count = max(1, _BAND // len(across))
    with tqdm(total=rows, unit="row", delay=2, leave=False, disable=None) as bar:
        for first in range(0, rows, count):
            # All bands have as many rows, so that they are one compiled function; of the last
            # band some are drawn that nobody takes.
            at = np.minimum(top + first + np.arange(min(count, rows)), height - 1)
            down, y_index = _around(
                (at + 0.5) * (pyramid.height / height), pyramid.height, 3 * len(at)
            )
            band = _draw(
                network, weights, numbers, pyramid.matrices(down, across), y_index, x_index
            )
            taken = min(count, rows - first)
            picture[first : first + taken] = np.asarray(band)[:, :taken].transpose(1, 2, 0)
            bar.update(taken)
    return np.clip(picture, 0, 1, out=picture)


def _around(
    at: Float[np.ndarray, "positions"], size: int, padded: int = 0
) -> tuple[Float[np.ndarray, "needed"], Int32[np.ndarray, "3 positions"]]:
    """The positions that are one pixel before `at`, at it and behind it, each once.

    Returns:
      The positions, and where among them those of the three are. With `padded` there are so many
      positions, the last of them again and again.
    """
    three = np.clip(at + np.array([[-1.0], [0.0], [1.0]]), 0.5, size - 0.5)
    needed, index = np.unique(three, return_inverse=True)
    if padded:
        needed = np.pad(needed, (0, max(0, padded - len(needed))), mode="edge")
    return needed, index.reshape(three.shape).astype(np.int32)


@functools.partial(jax.jit, static_argnums=0)
def _draw(
    network: Network,
    weights: Weights,
    grids: tuple[Float[AnyArray, "_nodes_y _nodes_x"], ...],
    matrices: Matrices,
    y_index: Int32[AnyArray, "3 rows"],
    x_index: Int32[AnyArray, "3 columns"],
) -> Float[jax.Array, "channels rows columns"]:
    with jax.default_matmul_precision("highest"):  # the same picture on every device
        picture = network.draw(weights, values_at(grids, matrices))
        total = picture[:, y_index[1]][:, :, x_index[1]]
        for a in range(3):
            for b in range(3):
                shifted = picture[:, y_index[a]][:, :, x_index[b]]
                total = total + jnp.einsum("oc,cyx->oyx", weights["filter"][:, a, b], shifted)
        return total
