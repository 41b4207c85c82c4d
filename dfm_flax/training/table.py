"""A learned table of latents, whose rows are optimized at the steps that they take part in.

A dense optimizer would touch all rows at every step. Here a step gathers the rows of its
batch with their Adam moments, and scatters them back in place: its cost is that of the batch,
whatever the size of the table.

A row's Adam is that of a parameter which exists only at the steps that the row is in the
batch: while unseen its moments stay as they are, and its bias correction counts its own
updates. (PyTorch's SparseAdam does the same, but for counting all steps.)
"""

import flax.struct
import jax
import jax.numpy as jnp
import psutil

from dfm_flax.errors import UsageError


@flax.struct.dataclass
class LatentTable:
    """Latents of all images, and their optimizer.

    Attributes:
      latents: [N, L].
      mu, nu: running means of their gradients and of those squared, [N, L].
      updates: how often each row was in a batch, [N].
    """

    latents: jax.Array
    mu: jax.Array
    nu: jax.Array
    updates: jax.Array

    @classmethod
    def create(cls, rng: jax.Array, num: int, latent_size: int, variance: float) -> "LatentTable":
        """A table of latents drawn from a Gaussian of that variance."""
        latents = variance**0.5 * jax.random.normal(rng, (num, latent_size))
        shape = num, latent_size  # each array its own: a buffer is donated once
        return cls(latents, jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(num, jnp.int32))

    def update(
        self,
        index: jax.Array,
        gradients: jax.Array,
        learning_rate: jax.Array,
        b1: float,
        b2: float,
        eps: float = 1e-8,
    ) -> "LatentTable":
        """One step of Adam on some rows.

        Args:
          index: the rows of the batch, [B]. A row may occur more than once: its gradient is
            then the sum, and it is updated once.
          gradients: of the batch's loss in each of them, [B, L].
          learning_rate: of this step.
          b1, b2, eps: Adam's.
        """
        same = index[:, None] == index
        # A matrix product sums in an order of its own, a scatter in whichever comes.
        gradients = jnp.matmul(
            same.astype(gradients.dtype), gradients, precision=jax.lax.Precision.HIGHEST
        )
        first = jnp.argmax(same, axis=1)
        gradients = gradients[first]  # equal rows to the last bit: any may be written last
        count = self.updates[index] + 1
        mu = b1 * self.mu[index] + (1 - b1) * gradients
        nu = b2 * self.nu[index] + (1 - b2) * gradients**2
        mu_hat = mu / (1 - b1**count)[:, None]
        nu_hat = nu / (1 - b2**count)[:, None]
        latents = self.latents[index] - learning_rate * mu_hat / (jnp.sqrt(nu_hat) + eps)
        return LatentTable(
            self.latents.at[index].set(latents),
            self.mu.at[index].set(mu),
            self.nu.at[index].set(nu),
            self.updates.at[index].set(count),
        )


def check_memory(num: int, latent_size: int) -> None:
    """Raises UsageError for a table that the devices cannot hold."""
    table = 4 * num * (3 * latent_size + 1)
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:  # the CPU: all devices share the memory, and a checkpoint copies it
        table *= jax.local_device_count() + 2
        limit = psutil.virtual_memory().available
    if table > limit:
        raise UsageError(
            f"a table of {num} latents of {latent_size} numbers with their moments takes "
            f"{table:,} bytes, and there are {limit:,}; use --config.model.latents=encoder "
            "or a smaller --config.model.latent_size"
        )
