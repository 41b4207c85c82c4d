"""Equation 4.8 of the thesis, and how it is estimated."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray
from ml_collections import ConfigDict

from dfm_flax.data.positions import draw_pixels, interpolated, shifted
from dfm_flax.errors import UsageError
from dfm_flax.generation.cramer_wold import FEWEST_NUMBERS, cramer_wold_distance
from dfm_flax.generation.generator import Generator, ImageBatch, ImageShape
from dfm_flax.training.losses import Metrics, Scalar, squared_error
from dfm_flax.training.step import of_all_devices
from dfm_flax.typing import AnyArray

_ATTRIBUTES = ("latent_penalty", "latent_noise", "cramer_wold", "num_pixels", "jitter")


def penalized_loss(
    model: Generator,
    params: Any,
    batch: ImageBatch,
    rng: PRNGKeyArray,
    *,
    penalty: float,
    noise: float = 0.0,
    distance_weight: float = 0.0,
    num_pixels: int = 0,
    jitter: float = 0.0,
) -> tuple[Scalar, Metrics]:
    """Equation 4.8, with lambda = `penalty`:

        1/(MN) sum_ij |y_ij - yhat_ij|^2  +  lambda/M sum_i |z_i|^2

    over M images of N pixels; |.|^2 sums over the channels of a color in [-1, 1], and over the
    entries of a latent. Up to constants it is, with `noise`, the variational bound of a posterior
    N(z_i, noise^2) under the prior N(0, I) and a likelihood of variance N lambda: its divergence
    is |z_i|^2 / 2.

    Args:
      noise: standard deviation of Gaussian noise on the latents that are decoded.
      distance_weight: above 0, so many times the Cramér-Wold distance between the latents of the
        whole batch and N(0, I) is added.
      num_pixels: above 0, the sum over j runs over so many random pixels, stratified and the same
        for the whole batch, which makes it an estimate of the whole.
      jitter: above 0, positions are moved by up to so many pixels to each side, and y is
        interpolated: that says what the images are like between their pixels.

    Returns:
      The loss, and the metrics mse and penalty, and cramer_wold, the distance, where it counts.
      The mse is a mean over the channels too, as that of all generators: the loss of color images
      is 3 mse + penalty.
    """
    height, width = batch.images.shape[1:3]
    _, pixel_rng, jitter_rng = jax.random.split(rng, 3)
    latents = model.latents_of(params, batch)
    decoded = latents + noise * batch.noise
    if num_pixels:
        index = draw_pixels(pixel_rng, height * width, num_pixels, stratified=True)
    else:
        index = jnp.arange(height * width)
    if jitter:
        shift = jax.random.uniform(jitter_rng, (len(index), 2), minval=-jitter, maxval=jitter)
        positions = shifted(index, shift, height, width)
        colors = model.run(params, decoded, method=lambda m, z: m.decoder.at(z, positions))
        error = colors - interpolated(batch.images, positions)
    else:
        colors = model.run(params, decoded, index, height, width, method="decode")
        error = colors - flatten(batch.images)[:, index]
    squares, per_channel = squared_error(error)
    weighted = penalty * jnp.mean(jnp.sum(latents**2, axis=-1))
    loss, metrics = squares + weighted, {"mse": per_channel, "penalty": weighted}
    if distance_weight:
        distance = cramer_wold_distance(of_all_devices(jnp.asarray(latents)))
        loss, metrics = loss + distance_weight * distance, metrics | {"cramer_wold": distance}
    return loss, metrics


class PenalizedGenerator(Generator):
    """A generator that is trained for equation 4.8.

    Attributes: see `penalized_loss`, and `Generator`.
    """

    latent_penalty: float = 0.0
    latent_noise: float = 0.0
    cramer_wold: float = 0.0
    num_pixels: int = 0
    jitter: float = 0.0

    @classmethod
    def settings(cls) -> ConfigDict:
        """Those of the loss, see `Generator.settings`."""
        config = ConfigDict()
        config.loss = ConfigDict()
        config.loss.latent_penalty = 1e-3  # lambda of equation 4.8
        config.loss.latent_noise = 0.1  # deviation of the noise on latents that are decoded
        # Weight of the distance between a batch's latents and N(0, I), see `cramer_wold`.
        config.loss.cramer_wold = 0.0
        config.loss.num_pixels = 0  # random pixels of each image that a step looks at; 0 for all
        config.loss.jitter = 0.0  # pixels that their positions are moved by, at most
        return config

    @nn.nowrap
    def loss(self, params: Any, batch: ImageBatch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        """Equation 4.8."""
        return penalized_loss(
            self,
            params,
            batch,
            rng,
            penalty=self.latent_penalty,
            noise=self.latent_noise,
            distance_weight=self.cramer_wold,
            num_pixels=self.num_pixels,
            jitter=self.jitter,
        )


def penalized(config: ConfigDict, shape: ImageShape) -> dict[str, Any]:
    """The attributes of a `PenalizedGenerator` that the section `loss` of a config has.

    Raises:
      UsageError: they make no sense, or images of that shape have fewer pixels.
    """
    loss = config.loss
    found = {name: loss[name] for name in _ATTRIBUTES if name in loss}
    for name, value in found.items():
        if value < 0:
            raise UsageError(f"config: loss.{name}={value}: 0 or more")
    num_pixels = shape.height * shape.width
    if found.get("num_pixels", 0) > num_pixels:
        raise UsageError(
            f"config: loss.num_pixels={loss.num_pixels}: an image has {num_pixels}; "
            "0 takes them all"
        )
    if found.get("cramer_wold", 0) and config.model.latent_size < FEWEST_NUMBERS:
        raise UsageError(
            f"config: loss.cramer_wold={loss.cramer_wold}: it is of latents of {FEWEST_NUMBERS} "
            f"numbers or more, and model.latent_size is {config.model.latent_size}"
        )
    return found


def flatten(
    images: Float[AnyArray, "batch height width channels"],
) -> Float[AnyArray, "batch height*width channels"]:
    """The pixels of images, row by row."""
    return images.reshape(len(images), -1, images.shape[-1])
