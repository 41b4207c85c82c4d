"""Images of a generator as arrays, and latents of many images, in batches that fit."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Shaped

from dfm_flax.generation.generator import Generator
from dfm_flax.typing import AnyArray, Count

_TILE = 4096  # pixels of an image drawn at once
_PIXELS = 2**18  # pixels of all images drawn at once
_ENCODED = 1024  # images encoded at once


def draw(
    model: Generator,
    params: Any,
    latents: Float[AnyArray, "batch latent"],
    height: int,
    width: int,
) -> Float32[np.ndarray, "batch {height} {width} channels"]:
    """Images in [0, 1] of latents, at any size that the model can draw."""
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


def encode(
    model: Generator, params: Any, images: Shaped[np.ndarray, "batch height width channels"]
) -> Float32[np.ndarray, "batch latent"]:
    """Latents of images, uint8 or in [0, 1]."""
    scale = 255 if images.dtype == np.uint8 else 1
    latents = [
        np.asarray(_encode(model, params, batch, scale))[:used]
        for batch, used in _batches(images, _ENCODED)
    ]
    return np.concatenate(latents)


def _batches(
    rows: Shaped[np.ndarray, "rows *rest"], most: int
) -> Iterator[tuple[Shaped[np.ndarray, "batch *rest"], int]]:
    """(batch, how many of its rows count): batches of one size, so that all run one program."""
    size = min(most, len(rows))
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        padding = [(0, size - len(batch))] + [(0, 0)] * (rows.ndim - 1)
        yield np.pad(batch, padding), len(batch)


@functools.partial(jax.jit, static_argnums=(0, 3, 5, 6))
def _colors(
    model: Generator,
    params: Any,
    latents: Float[AnyArray, "batch latent"],
    tile: int,
    start: Count,
    height: int,
    width: int,
) -> Float[jax.Array, "batch {tile} channels"]:
    # Beyond the last pixel the last one again: a model that draws pixels has no other.
    index = jnp.minimum(start + jnp.arange(tile), height * width - 1)
    with jax.default_matmul_precision("highest"):  # the same picture on every device
        colors: Any = model.apply(
            {"params": params}, latents, index, height, width, method="decode"
        )
    return colors


@functools.partial(jax.jit, static_argnums=0)
def _encode(
    model: Generator,
    params: Any,
    images: Shaped[AnyArray, "batch height width channels"],
    scale: Count,
) -> Float[jax.Array, "batch latent"]:
    images = 2 * images.astype(jnp.float32) / scale - 1
    with jax.default_matmul_precision("highest"):
        latents: Any = model.apply({"params": params}, images, method="encode")
    return latents
