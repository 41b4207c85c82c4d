"""Priors that are small networks, trained on the latents of a finished run.

Each is a map from noise to latents which starts as the Gaussian with the latents' mean and
covariance, and is trained from there. The map depends on the class of an image where the data
set has classes: a sample draws its class first.
"""

import abc
import functools
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, Float32, Float64, Int, PRNGKeyArray
from tqdm import tqdm

from dfm_flax.errors import UsageError
from dfm_flax.generation.mixture import jitter
from dfm_flax.generation.prior import Arrays, ClassPrior
from dfm_flax.training.losses import Scalar
from dfm_flax.typing import AnyArray, Count, Params

_FEWEST = 40  # latents
_HELD_OUT = 20  # one of so many latents is not trained on
_BATCH = 512
_LOOKS = 10  # at the held-out latents
_LEARNING_RATE = 1e-3
_EMA_DECAY = 0.995
_PARAMS = "params/"  # before the names of the network's arrays

Classes = Float[AnyArray, "batch classes"]  # one-hot


@dataclass(frozen=True, eq=False)
class LearnedPrior(ClassPrior):
    """A network between noise and latents in the units of their principal axes.

    Attributes:
      mean: of the latents.
      axes: columns, the principal axes of the latents times their deviations.
      weights: of the classes, with sum 1; a single one where there are no classes.
      params: of the network.
    """

    mean: Float64[np.ndarray, "latent"]
    axes: Float64[np.ndarray, "latent latent"]
    weights: Float64[np.ndarray, "classes"]
    params: Params

    name: ClassVar[str]
    num_steps: ClassVar[int]  # of training

    @staticmethod
    @abc.abstractmethod
    def network(size: int) -> nn.Module:
        """The network for latents of `size` numbers."""

    @staticmethod
    @abc.abstractmethod
    def loss(
        network: nn.Module,
        params: Any,
        units: Float[AnyArray, "batch latent"],
        classes: Classes,
        rng: PRNGKeyArray,
    ) -> Scalar:
        """What the network is trained for, of latents in units of their principal axes."""

    @abc.abstractmethod
    def from_noise(
        self, noise: Float[AnyArray, "batch latent"], classes: Classes
    ) -> Float[jax.Array, "batch latent"]:
        """Latents, in units of their principal axes, of draws from N(0, I)."""

    @classmethod
    def fit(
        cls,
        latents: Float[np.ndarray, "latents latent"],
        seed: int = 0,
        labels: Int[np.ndarray, "latents"] | None = None,
    ) -> "LearnedPrior":
        """See `ClassPrior.fit`. A 20th of the latents says when the network was at its best."""
        if len(latents) < _FEWEST:
            raise UsageError(
                f"prior {cls.name!r}: {len(latents)} latents are too few to learn from"
            )
        latents = np.asarray(latents, np.float64)
        labels = np.zeros(len(latents), np.int32) if labels is None else labels
        mean = latents.mean(axis=0)
        size = latents.shape[1]
        variances, directions = np.linalg.eigh(np.cov(latents.T).reshape(size, size))
        deviations = np.sqrt(np.maximum(variances, 0) + jitter(latents))
        units = ((latents - mean) @ directions / deviations).astype(np.float32)
        counts = np.bincount(labels)
        network, classes = cls.network(size), np.eye(len(counts), dtype=np.float32)[labels]
        initial = network.init(jax.random.PRNGKey(seed), units[:2], classes[:2])["params"]
        loss = functools.partial(cls.loss, network)
        params = _trained(loss, initial, units, classes, seed, cls.num_steps, cls.name)
        return cls(mean, directions * deviations, counts / counts.sum(), params)

    def of_class(self, label: int) -> "LearnedPrior":
        if len(self.weights) == 1:
            raise UsageError(f"class {label}: prior {self.name!r} knows no classes")
        if not 0 <= label < len(self.weights) or not self.weights[label]:
            raise UsageError(
                f"class {label}: prior {self.name!r} has classes 0 to {len(self.weights) - 1}"
            )
        return replace(self, weights=np.eye(len(self.weights))[label])

    def sample(self, num: int, seed: int) -> Float32[np.ndarray, "{num} latent"]:
        rng = np.random.default_rng(seed)
        classes = np.eye(len(self.weights))[rng.choice(len(self.weights), num, p=self.weights)]
        noise = rng.normal(size=(num, len(self.mean)))
        with jax.default_matmul_precision("highest"):  # the same draws on every device
            units = self.from_noise(noise.astype(np.float32), classes.astype(np.float32))
        return (self.mean + np.asarray(units, np.float64) @ self.axes.T).astype(np.float32)

    def arrays(self) -> Arrays:
        named = flatten_dict(self.params, sep="/")
        params = {f"{_PARAMS}{name}": np.asarray(leaf) for name, leaf in named.items()}
        return {"mean": self.mean, "axes": self.axes, "weights": self.weights, **params}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "LearnedPrior":
        named = {
            name.removeprefix(_PARAMS): array
            for name, array in arrays.items()
            if name.startswith(_PARAMS)
        }
        mean, axes, weights = (arrays[name] for name in ("mean", "axes", "weights"))
        params, size = unflatten_dict(named, "/"), len(mean)
        expected = jax.eval_shape(
            cls.network(size).init,
            jax.random.PRNGKey(0),
            jnp.zeros((1, size)),
            jnp.zeros((1, len(weights))),
        )["params"]
        if _shapes(expected) != _shapes(params) or axes.shape != (size, size):
            raise ValueError("arrays of another network")
        return cls(mean, axes, weights, params)


def _shapes(params: Any) -> dict[str, tuple[int, ...]]:
    return {name: leaf.shape for name, leaf in flatten_dict(params, sep="/").items()}


def _trained(
    loss: Any,
    params: Any,
    units: Float32[np.ndarray, "latents latent"],
    classes: Float32[np.ndarray, "latents classes"],
    seed: int,
    num_steps: int,
    name: str,
) -> Any:
    """The parameters, averaged over some steps, with the least loss on held-out latents."""
    order = np.random.default_rng(seed).permutation(len(units))
    held_out, rest = np.split(order, [max(1, len(units) // _HELD_OUT)])
    rows, of_rows = jnp.asarray(units[rest]), jnp.asarray(classes[rest])
    schedule = optax.warmup_cosine_decay_schedule(0, _LEARNING_RATE, num_steps // 10, num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    rng = jax.random.PRNGKey(seed)
    steps = max(1, num_steps // _LOOKS)

    def step(i: Count, carry: tuple[Any, Any, Any, Count]) -> tuple[Any, Any, Any, Count]:
        params, averaged, state, done = carry
        draw_rng, loss_rng = jax.random.split(jax.random.fold_in(rng, done + i))
        index = jax.random.randint(draw_rng, (min(_BATCH, len(rows)),), 0, len(rows))
        gradients = jax.grad(loss)(params, rows[index], of_rows[index], loss_rng)
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        averaged = optax.incremental_update(params, averaged, 1 - _EMA_DECAY)
        return params, averaged, state, done

    advance = jax.jit(lambda carry: jax.lax.fori_loop(0, steps, step, carry))
    look = jax.jit(lambda params: loss(params, units[held_out], classes[held_out], rng))
    best, least = params, float(look(params))
    averaged, state = params, optimizer.init(params)
    with tqdm(total=_LOOKS * steps, desc=f"prior {name}", unit="step", disable=None) as bar:
        for done in range(0, _LOOKS * steps, steps):
            params, averaged, state, _ = advance((params, averaged, state, done))
            held = float(look(averaged))
            if held < least:
                best, least = averaged, held
            bar.set_postfix(held_out=f"{held:.4g}", refresh=False)
            bar.update(steps)
    return jax.tree.map(np.asarray, best)
