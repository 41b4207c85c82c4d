"""Latents of images by optimization, for models without an encoder."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from dfm_flax.generation.generator import Generator

_STEPS = 400
_LEARNING_RATE = 0.1  # of Adam, relative to the deviation of the training latents


def invert(
    model: Generator,
    params: Any,
    images: NDArray[np.floating],
    known: NDArray[np.floating],
    penalty: float,
) -> NDArray[np.float32]:
    """Latents [B, L] that minimize equation 4.8 for the frozen decoder, image by image.

    Args:
      images: [B, H, W, C] in [0, 1].
      known: latents of training images [N, L]; the search starts from their mean.
      penalty: lambda of equation 4.8.
    """
    start = np.broadcast_to(known.mean(axis=0), (len(images), known.shape[1]))
    learning_rate = _LEARNING_RATE * float(known.std())
    found = _invert(model, params, np.asarray(images, np.float32), start, learning_rate, penalty)
    return np.asarray(found)


@functools.partial(jax.jit, static_argnums=0)
def _invert(
    model: Generator,
    params: Any,
    images: jax.Array,
    latents: jax.Array,
    learning_rate: float,
    penalty: float,
) -> jax.Array:
    height, width, channels = images.shape[1:]
    pixels = 2 * images.reshape(len(images), -1, channels) - 1
    index = jnp.arange(height * width)

    def loss(latents: jax.Array) -> jax.Array:
        colors = model.run(params, latents, index, height, width, method="decode")
        errors = jnp.mean(jnp.sum((colors - pixels) ** 2, axis=-1), axis=-1)
        # A sum: no image changes the gradient in the latent of another.
        return jnp.sum(errors + penalty * jnp.sum(latents**2, axis=-1))

    optimizer = optax.adam(optax.cosine_decay_schedule(1.0, _STEPS))

    def body(_: int, carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        latents, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(loss)(latents), opt_state)
        return latents + learning_rate * updates, opt_state

    return jax.lax.fori_loop(0, _STEPS, body, (latents, optimizer.init(latents)))[0]
