"""A baseline: the variational autoencoder of Kingma and Welling (2014, arXiv:1312.6114)."""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.generation.generator import Generator, ImageBatch, ImageShape, make_encoder
from dfm_flax.generation.losses import flatten
from dfm_flax.models.decoders import PixelDecoder
from dfm_flax.training.losses import Metrics, Scalar
from dfm_flax.typing import AnyArray

LIKELIHOODS = ("bernoulli", "gaussian")


class VariationalAutoencoder(Generator):
    """An encoder of means and log variances, and a perceptron from latents to pixels.

    Attributes:
      likelihood: 'bernoulli': as in the paper for MNIST, intensities in [0, 1] count as
        probabilities. 'gaussian': one learned variance for all pixels, the parameter
        `log_variance`, instead of one a pixel as there, which has no bound where a pixel never
        varies.
    """

    likelihood: str = "bernoulli"

    native_prior: ClassVar[str] = "standard_normal"

    def setup(self) -> None:
        """The learned variance, where there is one."""
        if self.likelihood == "gaussian":
            self.log_variance = self.param("log_variance", nn.initializers.zeros_init(), ())

    @classmethod
    def settings(cls) -> ConfigDict:
        """See `Generator.settings`."""
        config = ConfigDict()
        config.loss = ConfigDict()
        config.loss.likelihood = "bernoulli"  # or gaussian, for colors
        return config

    @classmethod
    def from_config(cls, config: ConfigDict, shape: ImageShape) -> "VariationalAutoencoder":
        """See `Generator.from_config`."""
        model, likelihood = config.model, config.loss.likelihood
        if likelihood not in LIKELIHOODS:
            known = ", ".join(LIKELIHOODS)
            raise UsageError(f"config: loss.likelihood={likelihood!r} is not one of {known}")
        if model.latents != "encoder":
            raise UsageError("a VAE has an encoder: use --config.model.latents=encoder")
        return cls(
            PixelDecoder(shape.height, shape.width, shape.channels, model.hidden, model.activation),
            make_encoder(model, 2 * model.latent_size),
            likelihood=likelihood,
        )

    def encode(
        self, images: Float[AnyArray, "batch height width channels"]
    ) -> Float[jax.Array, "batch latent"]:
        """Means of the latents of images in [-1, 1]."""
        return self.posterior(images)[0]

    def posterior(
        self, images: Float[AnyArray, "batch height width channels"]
    ) -> tuple[Float[jax.Array, "batch latent"], Float[jax.Array, "batch latent"]]:
        """Means and log variances of the latents of images in [-1, 1]."""
        mean, log_variance = jnp.split(super().encode(images), 2, axis=-1)
        return mean, log_variance

    @nn.nowrap
    def loss(self, params: Any, batch: ImageBatch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        """The negative variational bound in nats an image (eq. 10 of the paper)."""
        mean, log_variance = self.run(params, batch.images, method="posterior")
        latents = mean + jnp.exp(log_variance / 2) * batch.noise
        divergence = 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance)
        divergence = jnp.mean(jnp.sum(divergence, axis=-1))
        logits = self.run(params, latents, method=lambda m, z: m.decoder.logits(z))
        colors, pixels = jnp.tanh(logits / 2), flatten(batch.images)
        if self.likelihood == "bernoulli":
            surprise = jax.nn.softplus(logits) - (pixels + 1) / 2 * logits
        else:
            spread = params["log_variance"]
            surprise = 0.5 * ((colors - pixels) ** 2 / jnp.exp(spread) + spread)
            surprise += 0.5 * jnp.log(2 * jnp.pi)
        surprise = jnp.mean(jnp.sum(surprise, axis=(1, 2)))
        error = jnp.mean((colors - pixels) ** 2)
        return surprise + divergence, {"mse": error, "divergence": divergence}
