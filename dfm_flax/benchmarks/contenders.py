"""What `speed` lets run against each other: each contender is a function to be timed."""

import contextlib
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from dfm_flax.baselines.siren import siren_num_weights
from dfm_flax.benchmarks import textbook
from dfm_flax.fourier.series import by_xla
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import make_step, make_train_steps, replicate

COIN_DEPTH = 5

Contender = Callable[[], object]


def squared_error(machine: nn.Module, params, x: jax.Array, target: jax.Array) -> jax.Array:
    """Mean over positions and channels (eq. 4.7)."""
    prediction: jax.Array = machine.apply({"params": params}, x)  # type: ignore[assignment]
    return jnp.mean((prediction - target) ** 2)


def gradient(
    machine: nn.Module, params, x, target, *, many: bool = False, xla: bool = False
) -> tuple[Contender, int]:
    """Value and gradient of the mean squared error, and the bytes of temporaries it takes.

    Args:
      many: params and target have a leading axis of machines; x is shared by all.
      xla: does without the compiled kernels.
    """

    def loss(params, x, target):
        if not many:
            return squared_error(machine, params, x, target)
        one = lambda params, target: squared_error(machine, params, x, target)  # noqa: E731
        return jnp.mean(jax.vmap(one)(params, target))

    with by_xla() if xla else contextlib.nullcontext():
        compiled = jax.jit(jax.value_and_grad(loss)).lower(params, x, target).compile()
    memory: Any = compiled.memory_analysis()
    return lambda: compiled(params, x, target), memory.temp_size_in_bytes


def torch_gradients(params, weights: int, x, target) -> dict[str, Contender]:
    """The same in PyTorch: of the textbook's machine, and of a SIREN of as many weights."""
    if not textbook.torch_installed():
        return {}
    import torch

    data = [torch.tensor(np.asarray(array)) for array in (x, target)]
    machine, machine_weights = textbook.torch_machine(params)
    siren, siren_weights = textbook.torch_siren(COIN_DEPTH, coin_width(weights))
    return {
        "textbook, PyTorch": textbook.torch_gradient(machine, machine_weights, *data),
        "SIREN, PyTorch": textbook.torch_gradient(siren, siren_weights, *data),
    }


def torch_decoder(weights: int, height: int, width: int) -> dict[str, Contender]:
    """COIN's SIREN of at most `weights` weights at all pixels of an image."""
    if not textbook.torch_installed():
        return {}
    import torch

    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width))
    positions = torch.stack([x, y], dim=-1).reshape(-1, 2)
    siren, _ = textbook.torch_siren(COIN_DEPTH, coin_width(weights))

    def decode():
        with torch.inference_mode():
            return siren(positions).numpy()

    return {"SIREN, PyTorch": decode}


def coin_width(weights: int) -> int:
    """Of the widest SIREN of COIN's depth with at most `weights` weights."""
    return max(width for width in range(2, 1000) if siren_num_weights(COIN_DEPTH, width) <= weights)


@flax.struct.dataclass
class _Feed:
    """Random positions with their colors."""

    positions: jax.Array
    colors: jax.Array
    batch_size: int = flax.struct.field(pytree_node=False)

    def draw(self, rng: jax.Array, step: jax.Array) -> jax.Array:
        return jax.random.randint(rng, (self.batch_size,), 0, len(self.positions))

    def at(self, drawn: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.positions[drawn], self.colors[drawn]


def many_steps(
    machine: nn.Module, batch: int, steps: int, x, target, dispatches: int = 1
) -> Contender:
    """`steps` steps of Adam in so many dispatches, as `dfm train` does them in one."""
    optimizer = optax.adam(1e-4)

    def loss(params, batch, rng):
        return squared_error(machine, params, *batch), {}

    params = machine.init(jax.random.PRNGKey(0), x[:1])["params"]
    state = TrainState.create(jax.random.PRNGKey(0), params, optimizer)
    train_steps = make_train_steps(make_step(loss, optimizer))
    held = {"state": replicate(jax.tree.map(np.asarray, state))}
    feed = replicate(_Feed(x, target, batch))

    def run():
        for _ in range(dispatches):
            held["state"], *others = train_steps(held["state"], feed, np.int32(steps // dispatches))
        return others

    return run


def python_loop(machine: nn.Module, batch: int, steps: int, x, target) -> Contender:
    """The same as it is usually written: batches from NumPy, a jitted step, a loop."""
    optimizer = optax.adam(1e-4)

    def step(params, opt_state, x, target):
        value, gradients = jax.value_and_grad(squared_error, argnums=1)(machine, params, x, target)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    step = jax.jit(step, donate_argnums=(0, 1))
    params = machine.init(jax.random.PRNGKey(0), x[:1])["params"]
    held = {"state": (params, optimizer.init(params))}
    rng, x, target = np.random.default_rng(0), np.asarray(x), np.asarray(target)

    def run():
        params, opt_state = held["state"]
        for _ in range(steps):
            index = rng.integers(0, len(x), batch)
            params, opt_state, value = step(params, opt_state, x[index], target[index])
        held["state"] = params, opt_state
        return value

    return run
