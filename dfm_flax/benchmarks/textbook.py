"""The Deep Fourier Machine as one would first write it, in Flax and in PyTorch, to compare with.

All 2 (F+1)^m - 1 features of every position are computed, stored and multiplied. PyTorch is
optional: import its functions only where `torch_installed()`.
"""

import importlib.util
import itertools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dfm_flax.fourier import Full
from dfm_flax.typing import AnyArray, Params


class TextbookMachine(nn.Module):
    """`FourierMachine` by cosines and sines; its parameters fit this class and that one."""

    depth: int
    width: int
    channels: int = 3

    @nn.compact
    def __call__(
        self, positions: Float[AnyArray, "*points 2"]
    ) -> Float[jax.Array, "*points {self.channels}"]:
        """Maps positions to colors."""
        x = jnp.asarray(positions)
        for i, n in enumerate([self.width] * (self.depth - 1) + [self.channels]):
            y = _TextbookLayer(n, name=f"layer_{i}")(x)
            x = x + y if x.shape[-1] == n else y
        return jnp.tanh(x)


class _TextbookLayer(nn.Module):
    features: int

    @nn.compact
    def __call__(
        self, x: Float[jax.Array, "*points m"]
    ) -> Float[jax.Array, "*points {self.features}"]:
        k = Full(1).frequencies(x.shape[-1]).astype(np.float32)
        theta = 2 * math.pi * (x @ k.T)
        features = jnp.concatenate([jnp.cos(theta), jnp.sin(theta)[..., 1:]], axis=-1)
        shape = (features.shape[-1], self.features)
        return features @ self.param("coefficients", nn.initializers.normal(0.01), shape)


def torch_installed() -> bool:
    return importlib.util.find_spec("torch") is not None


def torch_machine(params: Params) -> tuple[Callable[[Any], Any], list[Any]]:
    """A plain PyTorch version with these `FourierMachine` parameters: (function, weights)."""
    import torch

    weights = [
        torch.tensor(np.asarray(layer["coefficients"]), requires_grad=True)
        for _, layer in sorted(params.items())
    ]
    sizes = [2] + [weight.shape[1] for weight in weights[:-1]]
    ks = [torch.tensor(Full(1).frequencies(m).T.astype(np.float32)) for m in sizes]

    def machine(x: Any) -> Any:
        for weight, k in zip(weights, ks, strict=True):
            theta = 2 * math.pi * (x @ k)
            features = torch.cat([torch.cos(theta), torch.sin(theta)[:, 1:]], dim=-1)
            y = features @ weight
            x = x + y if x.shape[-1] == y.shape[-1] else y
        return torch.tanh(x)

    return machine, weights


def torch_siren(
    depth: int, width: int, channels: int = 3, w0: float = 30.0
) -> tuple[Callable[[Any], Any], list[Any]]:
    """COIN's network as its authors wrote it, sines of linear layers: (function, weights)."""
    import torch

    sizes = [2] + [width] * (depth - 1) + [channels]
    layers = [torch.nn.Linear(m, n) for m, n in itertools.pairwise(sizes)]
    weights = [parameter for layer in layers for parameter in layer.parameters()]

    def siren(x: Any) -> Any:
        for layer in layers[:-1]:
            x = torch.sin(w0 * layer(x))
        return layers[-1](x)

    return siren, weights


def torch_gradient(
    function: Callable[[Any], Any], weights: list[Any], x: Any, target: Any
) -> Callable[[], None]:
    """A contender: the mean squared error of `function` at x, and its gradient."""

    def call() -> None:
        for weight in weights:
            weight.grad = None
        ((function(x) - target) ** 2).mean().backward()

    return call
