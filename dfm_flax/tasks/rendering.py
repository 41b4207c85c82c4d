"""Images from machines: evaluation at the pixels of a grid of any size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from dfm_flax.data.positions import pixel_positions

_TILE = 4096  # positions evaluated at once: what a layer stores of them fits the cache


def render(model: nn.Module, params, height: int, width: int) -> np.ndarray:
    """The image [H, W, C] in [0, 1] of a model of positions, at any size.

    Args:
      model: maps positions [N, 2] in the unit square to colours [N, C] in [-1, 1].
      params: its parameters.
      height, width: in pixels. Memory beyond the image itself is bounded by one tile.
    """
    count = height * width
    tiles = [np.asarray(_tile(model, params, i, height, width)) for i in range(0, count, _TILE)]
    image = np.concatenate(tiles)[:count].reshape(height, width, -1)
    return np.clip((image + 1) / 2, 0, 1)


@functools.partial(jax.jit, static_argnums=0)
def _tile(model, params, first, height, width):
    index = first + jnp.arange(_TILE)
    return model.apply({"params": params}, pixel_positions(index, height, width))
