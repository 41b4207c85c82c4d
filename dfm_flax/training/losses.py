"""Losses are plain functions: what they are, and those of a user beside ours."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, PRNGKeyArray
from ml_collections import ConfigDict

from dfm_flax.registry import import_path
from dfm_flax.typing import AnyArray

# loss(params, batch, rng) -> (the loss, other metrics), means over the batch. The key is the same
# on all devices: what differs from example to example comes with the batch.
Scalar = Float[jax.Array, ""]
Metrics = dict[str, Scalar]
Loss = Callable[[Any, Any, PRNGKeyArray], tuple[Scalar, Metrics]]
MakeLoss = Callable[[nn.Module, ConfigDict], Loss]


def squared_error(error: Float[AnyArray, "*pixels channels"]) -> tuple[Scalar, Scalar]:
    """The mean of |y - yhat|^2 over pixels, of equations 4.7 and 4.8, and the metric "mse".

    |.|^2 sums over the channels of a color in [-1, 1]; the metric is its mean over them, of which
    PSNR is made.
    """
    squares = jnp.mean(jnp.sum(jnp.square(error), axis=-1))
    return squares, squares / error.shape[-1]


def make_loss(ours: Mapping[str, MakeLoss], model: nn.Module, config: ConfigDict) -> Loss:
    """The loss that a config's section `loss` describes.

    Args:
      ours: the task's own losses, each made from a model and a config. `config.loss.name` is one
        of their names, or the import path of a function of the same kind.

    Raises:
      UsageError: there is no such loss or term.
    """
    name = config.loss.name
    make = ours[name] if name in ours else import_path(name, "loss", ours)
    return with_terms(make(model, config), model, config.loss.terms)


def with_terms(loss: Loss, model: nn.Module, paths: Sequence[str]) -> Loss:
    """A loss with terms added, each a metric by the name of its function.

    Args:
      paths: import paths of functions term(model, params, batch, rng) -> scalar.
    """
    terms = {path.partition(":")[2]: import_path(path, "loss term") for path in paths}
    if not terms:
        return loss

    def total(params: Any, batch: Any, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        value, metrics = loss(params, batch, rng)
        added = {name: term(model, params, batch, rng) for name, term in terms.items()}
        return sum(added.values(), start=value), metrics | added

    return total
