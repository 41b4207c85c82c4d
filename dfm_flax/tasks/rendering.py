"""Images from machines: evaluation at the pixels of a grid of any size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from tqdm import tqdm

from dfm_flax.data.positions import pixel_positions
from dfm_flax.errors import UsageError

_TILE = 4096  # positions evaluated at once: what a layer stores of them fits the cache


def render(model: nn.Module, params, height: int, width: int) -> np.ndarray:
    """The image [H, W, C] in [0, 1] of a model of positions, at any size.

    Args:
      model: maps positions [N, 2] in the unit square to colours [N, C] in [-1, 1].
      params: its parameters.
      height, width: in pixels. Memory beyond the image itself is bounded by one tile.

    Raises:
      UsageError: the size is more pixels than 32 bits count.
    """
    count = height * width
    if count + _TILE >= 2**31:
        raise UsageError(f"{width} x {height} are too many pixels: fewer than 2**31 can be drawn")
    shape = jax.eval_shape(functools.partial(_tile, model), params, 0, height, width).shape
    image = np.empty((count, shape[-1]), np.float32)
    with tqdm(
        total=count, unit="pixel", unit_scale=True, delay=2, leave=False, disable=None
    ) as bar:
        for first in range(0, count, _TILE):
            tile = np.asarray(_tile(model, params, first, height, width))[: count - first]
            np.clip((tile + 1) / 2, 0, 1, out=image[first : first + len(tile)])
            bar.update(len(tile))
    return image.reshape(height, width, -1)


@functools.partial(jax.jit, static_argnums=0)
def _tile(model, params, first, height, width):
    index = first + jnp.arange(_TILE)
    return model.apply({"params": params}, pixel_positions(index, height, width))
