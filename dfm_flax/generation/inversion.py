"""Latents of images by optimization, for models without an encoder."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Float32

from dfm_flax.generation.generator import Generator
from dfm_flax.training.losses import Scalar
from dfm_flax.typing import AnyArray, Count

_Latents = Float[jax.Array, "batch latent"]

_STEPS = 400
_LEARNING_RATE = 0.1  # of Adam, relative to the deviation of the training latents


def invert(
    model: Generator,
    params: Any,
    images: Float[np.ndarray, "batch height width channels"],
    known: Float[np.ndarray, "_images latent"],
    penalty: float,
) -> Float32[np.ndarray, "batch latent"]:
    """Latents that minimize equation 4.8 for the frozen decoder, image by image.

    Args:
      images: in [0, 1].
      known: latents of training images; the search starts from their mean.
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
    images: Float[AnyArray, "batch height width channels"],
    latents: Float[AnyArray, "batch latent"],
    learning_rate: float | Float[AnyArray, ""],
    penalty: float | Float[AnyArray, ""],
) -> Float[jax.Array, "batch latent"]:
    height, width, channels = images.shape[1:]
    pixels = 2 * images.reshape(len(images), -1, channels) - 1
    index = jnp.arange(height * width)

    def loss(latents: _Latents) -> Scalar:
        colors = model.run(params, latents, index, height, width, method="decode")
        errors = jnp.mean(jnp.sum((colors - pixels) ** 2, axis=-1), axis=-1)
        # A sum: no image changes the gradient in the latent of another.
        return jnp.sum(errors + penalty * jnp.sum(latents**2, axis=-1))

    optimizer = optax.adam(optax.cosine_decay_schedule(1.0, _STEPS))

    def body(_: Count, carry: tuple[_Latents, Any]) -> tuple[_Latents, Any]:
        latents, opt_state = carry
        with jax.default_matmul_precision("highest"):  # the same latents on every device
            gradients = jax.grad(loss)(latents)
        updates, opt_state = optimizer.update(gradients, opt_state)
        return latents + learning_rate * updates, opt_state

    return jax.lax.fori_loop(0, _STEPS, body, (latents, optimizer.init(latents)))[0]
