"""Images of a generator as arrays, and latents of many images, in batches that fit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dfm_flax.generation.generator import Generator

_TILE = 4096  # pixels of an image drawn at once
_PIXELS = 2**18  # pixels of all images drawn at once
_ENCODED = 1024  # images encoded at once


def draw(
    model: Generator, params, latents: NDArray, height: int, width: int
) -> NDArray[np.float32]:
    """Images [B, H, W, C] in [0, 1] of latents [B, L], at any size that the model can draw."""
    pixels = height * width
    tile = min(pixels, _TILE)
    images = []
    for batch, used in _batches(np.asarray(latents, np.float32), max(1, _PIXELS // tile)):
        tiles = [
            np.asarray(_colors(model, params, batch, tile, start, height, width))
            for start in range(0, pixels, tile)
        ]
        images.append(np.concatenate(tiles, axis=1)[:used, :pixels])
    colors = np.concatenate(images)
    return np.clip((colors.reshape(len(latents), height, width, -1) + 1) / 2, 0, 1)


def encode(model: Generator, params, images: NDArray) -> NDArray[np.float32]:
    """Latents [B, L] of images [B, H, W, C], uint8 or in [0, 1]."""
    scale = 255 if images.dtype == np.uint8 else 1
    latents = [
        np.asarray(_encode(model, params, batch, scale))[:used]
        for batch, used in _batches(images, _ENCODED)
    ]
    return np.concatenate(latents)


def _batches(rows: NDArray, most: int):
    """(batch, how many of its rows count): batches of one size, so that all run one program."""
    size = min(most, len(rows))
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        padding = [(0, size - len(batch))] + [(0, 0)] * (rows.ndim - 1)
        yield np.pad(batch, padding), len(batch)


@functools.partial(jax.jit, static_argnums=(0, 3, 5, 6))
def _colors(model, params, latents, tile, start, height, width):
    # Beyond the last pixel the last one again: a model that draws pixels has no other.
    index = jnp.minimum(start + jnp.arange(tile), height * width - 1)
    with jax.default_matmul_precision("highest"):  # the same picture on every device
        return model.apply({"params": params}, latents, index, height, width, method="decode")


@functools.partial(jax.jit, static_argnums=0)
def _encode(model, params, images, scale):
    images = 2 * images.astype(jnp.float32) / scale - 1
    with jax.default_matmul_precision("highest"):
        return model.apply({"params": params}, images, method="encode")
