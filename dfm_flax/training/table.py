"""A learned table of latents, whose rows are optimized at the steps that they take part in.

A dense optimizer would touch all rows at every step. Here a step gathers the rows of its
batch with their Adam moments, and scatters them back in place: its cost is that of the batch,
whatever the size of the table.

There are two Adams of a row, see `TABLE_ADAMS`:

'rows': that of a parameter which exists only at the steps that the row is in the batch. While
unseen its moments stay as they are, and its bias correction counts its own updates. (PyTorch's
SparseAdam does the same, but for counting all steps.)

'dense': that of an optimizer which sees the whole table at every step, as the thesis's does. While
a row is unseen its gradient is 0, its moments decay and it coasts on them. `LatentTable.coasted`
makes these steps up when the row is asked for: before a batch that it is in, and before it is
drawn or measured.
"""

import math
from dataclasses import dataclass
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import psutil
from jaxtyping import Float, Float32, Integer, PRNGKeyArray

from dfm_flax.errors import UsageError
from dfm_flax.typing import AnyArray, Count

TABLE_ADAMS = ("rows", "dense")

_COASTING_LEFT = 2.0**-30  # of a row's coasting: far below what a float32 tells apart


@flax.struct.dataclass
class LatentTable:
    """Latents of all images, and their optimizer.

    Attributes:
      latents: [N, L].
      mu, nu: running means of their gradients and of those squared, [N, L].
      updates: steps of Adam that each row has had, [N]: of 'rows' as many as it was in a
        batch, of 'dense' all until it was last asked for.
    """

    latents: Any
    mu: Any
    nu: Any
    updates: Any

    @classmethod
    def empty(cls, num: int, latent_size: int) -> "LatentTable":
        """A table of zeros, NumPy arrays, such as one is restored into."""
        shape = num, latent_size
        latents, mu, nu = (np.zeros(shape, np.float32) for _ in range(3))
        return cls(latents, mu, nu, np.zeros(num, np.int32))

    @classmethod
    def create(
        cls, rng: PRNGKeyArray, num: int, latent_size: int, variance: float
    ) -> "LatentTable":
        """A table of latents drawn from a Gaussian of that variance."""
        latents = variance**0.5 * jax.random.normal(rng, (num, latent_size))
        shape = num, latent_size  # each array its own: a buffer is donated once
        return cls(latents, jnp.zeros(shape), jnp.zeros(shape), jnp.zeros(num, jnp.int32))

    def coasted(
        self,
        index: Integer[AnyArray, "batch"],
        step: Count,
        learning_rate: optax.Schedule,
        b1: float,
        b2: float,
        eps: float = 1e-8,
    ) -> "LatentTable":
        """The table with some rows as a dense Adam has them after `step` steps.

        The steps that a row has missed are those with gradient 0: k steps after its moments
        were m and v they are b1^k m and b2^k v, so it has moved by the sum over those steps of

            a b1^k m / (1 - b1^count) / (sqrt(b2^k v / (1 - b2^count)) + eps)

        with the learning rate a and the count of each step. The terms fall at least
        like (b1 / sqrt(b2))^k: those that are left out, from about the 200th on, are less than a
        float32 holds.

        Args:
          index: rows; one may occur more than once.
          step: steps done, of all rows; at least the `updates` of these.
          learning_rate: of each step, from 0 on.
          b1, b2, eps: Adam's; b1 < sqrt(b2).
        """
        since = self.updates[index]
        missed = step - since
        latents, mu, nu = self.latents[index], self.mu[index], self.nu[index]
        root = jnp.sqrt(nu)

        def coast(
            i: Count, latents: Float[jax.Array, "batch latent"]
        ) -> Float[jax.Array, "batch latent"]:
            count = since + i + 1  # of Adam: this step's, from 1 on
            # expm1: near 1 a power of float32 would lose the difference.
            first = _power(b1, i + 1) / -jnp.expm1(count * _log(b1))
            second = jnp.sqrt(_power(b2, i + 1) / -jnp.expm1(count * _log(b2)))
            size = jnp.where(i < missed, learning_rate(since + i) * first, 0.0)
            return latents - size[:, None] * mu / (second[:, None] * root + eps)

        terms = jnp.minimum(jnp.max(missed), num_coasting_terms(b1, b2))
        return LatentTable(
            self.latents.at[index].set(jax.lax.fori_loop(0, terms, coast, latents)),
            self.mu.at[index].set(mu * _power(b1, missed)[:, None]),
            self.nu.at[index].set(nu * _power(b2, missed)[:, None]),
            self.updates.at[index].set(since + missed),
        )

    def update(
        self,
        index: Integer[AnyArray, "batch"],
        gradients: Float[AnyArray, "batch latent"],
        learning_rate: float | Float[AnyArray, ""],
        b1: float,
        b2: float,
        eps: float = 1e-8,
    ) -> "LatentTable":
        """One step of Adam on some rows.

        Args:
          index: the rows of the batch. A row may occur more than once: its gradient is
            then the sum, and it is updated once.
          gradients: of the batch's loss in each of them.
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


@dataclass(frozen=True)
class TableOptimizer:
    """The Adam of a table's rows under a schedule of the learning rate.

    Attributes:
      learning_rate: at each step, from 0 on.
      b1, b2: Adam's.
      dense: which Adam it is, see above.

    Raises:
      UsageError: it is dense, and with these b1 and b2 a row never comes to rest.
    """

    learning_rate: optax.Schedule
    b1: float
    b2: float
    dense: bool = False

    def __post_init__(self) -> None:
        if self.dense:
            num_coasting_terms(self.b1, self.b2)

    def gather(
        self, table: LatentTable, index: Integer[AnyArray, "batch"], step: Count
    ) -> LatentTable:
        """The table with the rows `index` as they are after `step` steps."""
        if not self.dense:
            return table
        return table.coasted(index, step, self.learning_rate, self.b1, self.b2)

    def update(
        self,
        table: LatentTable,
        index: Integer[AnyArray, "batch"],
        gradients: Float[AnyArray, "batch latent"],
        step: Count,
    ) -> LatentTable:
        """The table after step number `step`, from 0 on, on rows that are gathered."""
        return table.update(index, gradients, self.learning_rate(step), self.b1, self.b2)

    def latents(
        self, table: LatentTable, step: Count, index: Integer[np.ndarray, "some"]
    ) -> Float32[np.ndarray, "some latent"]:
        """Some latents after `step` steps.

        The table stays as it is, so that looking at it changes no bit of the training.
        """
        few = jax.tree.map(lambda leaf: leaf[index], table)
        return np.asarray(jax.jit(self._settled)(few, step))

    def _settled(self, table: LatentTable, step: Count) -> Float[jax.Array, "images latent"]:
        return self.gather(table, jnp.arange(len(table.mu)), step).latents


def num_coasting_terms(b1: float, b2: float) -> int:
    """Steps without a gradient after which a row of a dense Adam stands still.

    Raises:
      UsageError: it never does.
    """
    if b1 == 0:
        return 0
    if b1**2 >= b2:
        raise UsageError(
            f"optimizer: with b1={b1} and b2={b2} a row of a dense Adam never comes to rest; "
            "use b1 below the root of b2, or table_adam='rows'"
        )
    return math.ceil(math.log(_COASTING_LEFT) / (math.log(b1) - math.log(b2) / 2))


def _log(base: float) -> float:
    return math.log(base) if base else -math.inf


def _power(
    base: float, exponent: Count | Integer[AnyArray, "*shape"]
) -> Float[jax.Array, "*shape"]:
    return jnp.exp(exponent * _log(base)) if base else jnp.where(exponent > 0, 0.0, 1.0)


def check_memory(num: int, latent_size: int, shared_by: int = 1) -> None:
    """Raises UsageError for a table that the devices cannot hold, of which each has a part."""
    table = -(-4 * num * (3 * latent_size + 1) // shared_by)
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:  # the CPU: all devices share the memory, and a checkpoint copies it
        table *= jax.local_device_count() + 2
        limit = psutil.virtual_memory().available
    if table > limit:
        raise UsageError(
            f"a table of {num} latents of {latent_size} numbers with their moments takes "
            f"{table:,} bytes, and there are {limit:,}; use --config.model.latents=encoder "
            "or a smaller --config.model.latent_size, or --config.training.table_placement=sharded"
        )
