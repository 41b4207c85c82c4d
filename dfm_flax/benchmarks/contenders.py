"""What `speed` lets run against each other: each contender is a function to be timed."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Float, Int32, PRNGKeyArray

from dfm_flax.baselines.siren import siren_num_weights
from dfm_flax.benchmarks import textbook
from dfm_flax.fourier.series import by_xla
from dfm_flax.training.losses import Metrics, Scalar
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import make_step, make_train_steps, replicate
from dfm_flax.typing import AnyArray, Params

COIN_DEPTH = 5

Contender = Callable[[], object]
Positions: TypeAlias = Float[AnyArray, "positions 2"]
Colors: TypeAlias = Float[AnyArray, "positions channels"]


def squared_error(
    machine: nn.Module, params: Params, x: Positions, target: Colors
) -> Float[jax.Array, ""]:
    """Mean over positions and channels (eq. 4.7)."""
    prediction: Any = machine.apply({"params": params}, x)
    return jnp.mean((prediction - target) ** 2)


def gradient(
    machine: nn.Module,
    params: Params,
    x: Positions,
    target: Float[AnyArray, "*machines positions channels"],
    *,
    many: bool = False,
    xla: bool = False,
) -> tuple[Contender, int]:
    """Value and gradient of the mean squared error, and the bytes of temporaries it takes.

    Args:
      many: params and target have a leading axis of machines; x is shared by all.
      xla: does without the compiled kernels.
    """

    def loss(
        params: Params, x: Positions, target: Float[AnyArray, "*machines positions channels"]
    ) -> Float[jax.Array, ""]:
        error = functools.partial(squared_error, machine)
        if not many:
            return error(params, x, target)
        return jnp.mean(jax.vmap(error, in_axes=(0, None, 0))(params, x, target))

    with by_xla() if xla else contextlib.nullcontext():
        compiled = jax.jit(jax.value_and_grad(loss)).lower(params, x, target).compile()
    memory: Any = compiled.memory_analysis()
    return lambda: compiled(params, x, target), memory.temp_size_in_bytes


def torch_gradients(
    params: Params, weights: int, x: Positions, target: Colors
) -> dict[str, Contender]:
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

    def decode() -> Float[np.ndarray, "pixels 3"]:
        with torch.inference_mode():
            return siren(positions).numpy()

    return {"SIREN, PyTorch": decode}


def coin_width(weights: int) -> int:
    """Of the widest SIREN of COIN's depth with at most `weights` weights."""
    return max(width for width in range(2, 1000) if siren_num_weights(COIN_DEPTH, width) <= weights)


@flax.struct.dataclass
class _Feed:
    """Random positions with their colors."""

    positions: Float[AnyArray, "*devices positions 2"]
    colors: Float[AnyArray, "*devices positions channels"]
    batch_size: int = flax.struct.field(pytree_node=False)

    def draw(
        self, rng: PRNGKeyArray, step: Int32[jax.Array, ""]
    ) -> Int32[jax.Array, "{self.batch_size}"]:
        return jax.random.randint(rng, (self.batch_size,), 0, len(self.positions))

    def at(
        self, drawn: Int32[jax.Array, "batch"]
    ) -> tuple[Float[AnyArray, "batch 2"], Float[AnyArray, "batch channels"]]:
        return self.positions[drawn], self.colors[drawn]


def many_steps(
    machine: nn.Module,
    batch: int,
    num_steps: int,
    x: Positions,
    target: Colors,
    dispatches: int = 1,
) -> Contender:
    """`num_steps` steps of Adam in so many dispatches, as `dfm train` does them in one."""
    optimizer = optax.adam(1e-4)

    def loss(params: Params, batch: Any, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        return squared_error(machine, params, *batch), {}

    params = machine.init(jax.random.PRNGKey(0), x[:1])["params"]
    state = TrainState.create(jax.random.PRNGKey(0), params, optimizer)
    train_steps = make_train_steps(make_step(loss, optimizer))
    held = {"state": replicate(jax.tree.map(np.asarray, state))}
    feed = replicate(_Feed(x, target, batch))

    def run() -> object:
        for _ in range(dispatches):
            held["state"], *others = train_steps(
                held["state"], feed, np.int32(num_steps // dispatches)
            )
        return others

    return run


def python_loop(
    machine: nn.Module, batch: int, num_steps: int, x: Positions, target: Colors
) -> Contender:
    """The same as it is usually written: batches from NumPy, a jitted step, a loop."""
    optimizer = optax.adam(1e-4)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(
        params: Params, opt_state: optax.OptState, x: Positions, target: Colors
    ) -> tuple[Params, optax.OptState, Float[jax.Array, ""]]:
        value, gradients = jax.value_and_grad(squared_error, argnums=1)(machine, params, x, target)
        updates, opt_state = optimizer.update(gradients, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    params = machine.init(jax.random.PRNGKey(0), x[:1])["params"]
    held = {"state": (params, optimizer.init(params))}
    rng, x, target = np.random.default_rng(0), np.asarray(x), np.asarray(target)

    def run() -> object:
        params, opt_state = held["state"]
        for _ in range(num_steps):
            index = rng.integers(0, len(x), batch)
            params, opt_state, value = step(params, opt_state, x[index], target[index])
        held["state"] = params, opt_state
        return value

    return run
