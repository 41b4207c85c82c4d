"""What generators are trained for, on one device's shard of a batch."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from dfm_flax.data.positions import Target, interpolated, shifted
from dfm_flax.errors import UsageError
from dfm_flax.generation.model import ImageShape
from dfm_flax.models.generator import ImageGenerator
from dfm_flax.training.step import shard

# (params, table rows [B, L] or None, images [B, H, W, C] in [-1, 1], rng) -> (loss, figures),
# with the loss as the first of the figures.
GenerationLoss = Callable[..., tuple[jax.Array, jax.Array]]


def make_loss(
    model: ImageGenerator, config: ConfigDict, shape: ImageShape
) -> tuple[GenerationLoss, tuple[str, ...]]:
    """The loss of a model under a config, and the names of its figures."""
    size = config.training.batch_size, config.model.latent_size
    if config.model.name == "vae":
        loss = _elbo_loss(model, shape, size, config.loss.likelihood)
        return loss, ("loss", "reconstruction", "divergence")
    pixels, jitter = _pixels_and_jitter(config.training)
    if not 0 <= pixels <= shape.height * shape.width:
        raise UsageError(
            f"--config.training.pixels={pixels}: an image has {shape.height * shape.width}; "
            "0 takes them all"
        )
    if jitter < 0:
        raise UsageError(f"--config.training.jitter={jitter}: in pixels, 0 or more")
    penalty, noise = config.loss.latent_penalty, config.loss.latent_noise
    if min(penalty, noise) < 0:
        raise UsageError("config.loss: latent_penalty and latent_noise cannot be negative")
    loss = _penalized_loss(model, shape, size, config)
    return loss, ("loss", "reconstruction", "penalty")


def _penalized_loss(model, shape: ImageShape, size, config: ConfigDict):
    """Equation 4.8, with lambda = `penalty`:

        1/(MN) sum_ij |y_ij - yhat_ij|^2  +  lambda/M sum_i |z_i|^2

    over M images of N pixels; |.|^2 sums over the channels of a color in [-1, 1], and over
    the entries of a latent. With `pixels` > 0 the sum over j runs over so many random pixels,
    stratified and the same for the whole batch, which makes it an estimate of the whole. With
    `jitter` > 0 their positions are moved by up to so many pixels to each side, and y is
    interpolated: that says what the images are like between their pixels.

    `noise` is the standard deviation of Gaussian noise on the latents that are decoded. Up to
    constants 4.8 is then the variational bound of a posterior N(z_i, noise^2) under the prior
    N(0, I) and a likelihood of variance N lambda: its divergence is |z_i|^2 / 2.
    """
    pixels, jitter = _pixels_and_jitter(config.training)
    penalty, noise = config.loss.latent_penalty, config.loss.latent_noise
    everything = jnp.arange(shape.height * shape.width)
    target = Target(None, shape.height, shape.width)

    def loss(params, rows, images, rng):
        noise_rng, pixel_rng, jitter_rng = jax.random.split(rng, 3)
        latents = rows if rows is not None else _apply(model, params, images, method="encode")
        decoded = latents + noise * shard(jax.random.normal(noise_rng, size))
        index = target.draw(pixel_rng, pixels, stratified=True) if pixels else everything
        if jitter:
            shift = jax.random.uniform(jitter_rng, (len(index), 2), minval=-jitter, maxval=jitter)
            positions = shifted(index, shift, shape.height, shape.width)
            colors = _apply(model, params, decoded, method=lambda m, z: m.decoder.at(z, positions))
            error = colors - interpolated(images, positions)
        else:
            colors = _decode(model, params, decoded, index, shape)
            error = colors - _flatten(images)[:, index]
        reconstruction = jnp.mean(jnp.sum(error**2, axis=-1))
        norm = jnp.mean(jnp.sum(latents**2, axis=-1))
        total = reconstruction + penalty * norm
        return total, jnp.stack([total, reconstruction / shape.channels, penalty * norm])

    return loss


def _elbo_loss(model, shape: ImageShape, size, likelihood: str):
    """The negative variational bound in nats an image (Kingma and Welling 2014, eq. 10).

    'bernoulli': as there for MNIST, intensities in [0, 1] count as probabilities. 'gaussian':
    one learned variance for all pixels, instead of one a pixel as there, which has no bound
    where a pixel never varies.
    """

    def loss(params, rows, images, rng):
        del rows
        mean, log_variance = _apply(model, params, images, method="posterior")
        normal = shard(jax.random.normal(rng, size))
        latents = mean + jnp.exp(log_variance / 2) * normal
        divergence = 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance)
        divergence = jnp.mean(jnp.sum(divergence, axis=-1))
        logits = _apply(model, params, latents, method=lambda m, z: m.decoder.logits(z))
        colors, pixels = jnp.tanh(logits / 2), _flatten(images)
        if likelihood == "bernoulli":
            surprise = jax.nn.softplus(logits) - (pixels + 1) / 2 * logits
        else:
            spread = params["log_variance"]
            surprise = 0.5 * ((colors - pixels) ** 2 / jnp.exp(spread) + spread)
            surprise += 0.5 * jnp.log(2 * jnp.pi)
        surprise = jnp.mean(jnp.sum(surprise, axis=(1, 2)))
        total = surprise + divergence
        return total, jnp.stack([total, jnp.mean((colors - pixels) ** 2), divergence])

    return loss


def _pixels_and_jitter(training: ConfigDict) -> tuple[int, float]:
    """What only makes sense for functions of the position."""
    return training.get("pixels", 0), training.get("jitter", 0.0)


def _apply(model, params, *arguments, method):
    return model.apply({"params": params}, *arguments, method=method)


def _decode(model, params, latents, index, shape: ImageShape):
    return _apply(model, params, latents, index, shape.height, shape.width, method="decode")


def _flatten(images: jax.Array) -> jax.Array:
    """[B, H, W, C] to [B, H * W, C]."""
    return images.reshape(len(images), -1, images.shape[-1])
