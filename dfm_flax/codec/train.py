"""Machines trained to be quantized: under noise, within a budget of bits."""

import contextlib
import hashlib
import logging
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32, Integer, PRNGKeyArray
from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.codec.budget import QuantizedMachine, quantization
from dfm_flax.data.images import Image
from dfm_flax.fourier import FourierMachine
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.feed import PixelBatch, PixelFeed
from dfm_flax.training.loop import Progress, Schedule
from dfm_flax.training.loop import train as train_loop
from dfm_flax.training.losses import Loss, Metrics, Scalar
from dfm_flax.training.optimizers import make_optimizer
from dfm_flax.training.state import initial_states
from dfm_flax.training.step import make_step, over_machines, rounded_up
from dfm_flax.typing import AnyArray, Count

log = logging.getLogger(__name__)

_LOG_EVERY, _CHECKPOINT_EVERY = 100, 1_000
_CHECKPOINT_VERSION = 2
_ROUNDED = 0.2  # the last part of training, in which weights are rounded


@flax.struct.dataclass
class BudgetedBatch(PixelBatch):
    """Some pixels, and the bits that the weights may take."""

    budget: Float[AnyArray, "*machines"]


@flax.struct.dataclass
class BudgetedFeed:
    """Random pixels of an image, and the bits that the weights of its machine may take."""

    pixels: PixelFeed
    budget: Float[AnyArray, "*machines"]

    def draw(self, rng: PRNGKeyArray, step: Count) -> Int32[jax.Array, "batch"]:
        """Indices of pixels."""
        return self.pixels.draw(jax.random.split(rng)[0], step)

    def at(self, drawn: Integer[AnyArray, "batch"]) -> BudgetedBatch:
        """Those pixels, and the budget."""
        batch = self.pixels.at(drawn)
        return BudgetedBatch(batch.positions, batch.colors, self.budget)


def quantization_loss(machine: FourierMachine, rounded: bool = False) -> Loss:
    """Mean squared error over a batch of pixels, of the machine as it will be quantized.

    Its weights are under uniform noise or, in the end, `rounded`, with the gradient of no
    rounding.
    """

    def loss(params: Any, batch: BudgetedBatch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        noise_rng = None if rounded else jax.random.split(rng)[1]
        quantized = quantization(machine, params, batch.budget, noise_rng)
        prediction: Any = machine.apply({"params": quantized}, batch.positions)
        return jnp.mean((prediction - batch.colors) ** 2), {}

    return loss


def train(
    config: ConfigDict,
    machine: FourierMachine,
    images: list[Image],
    budgets: list[float],
    folder: Path,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Trains a machine of one structure for each image, all at once, or goes on with that.

    Args:
      config: see `plan.plan`.
      budgets: bits for the weights of each image.
      folder: for checkpoints. Each set of images and settings has its own part of it, so the
        same call goes on with a run that was interrupted, and others start their own.

    Returns:
      The parameters of a `QuantizedMachine` for each image.
    """
    model, training = QuantizedMachine(machine), config.training
    # A few more pixels than planned where the devices could not share those evenly.
    batch_size = rounded_up(training.batch_size, jax.local_device_count())
    optimizer = make_optimizer(config.optimizer, training.num_steps)
    state = initial_states(model, optimizer, [seed] * len(images))
    pixels = [image.pixels for image in images]
    feed = BudgetedFeed(
        PixelFeed.stack(pixels, batch_size, training.sampling),
        np.array(budgets, np.float32),
    )
    folder = folder / _identity(config, images, budgets, seed)
    names = [image.name for image in images]

    def on_log(progress: Progress) -> dict[str, str]:
        psnrs = [psnr_of_loss(loss) for loss in progress.metrics["loss"]]
        return {"psnr": f"{np.mean(psnrs):.2f} dB"}

    under_noise = training.num_steps - round(_ROUNDED * training.num_steps)
    for part, last_step in (("noisy", under_noise), ("rounded", training.num_steps)):
        loss = quantization_loss(machine, rounded=part == "rounded")
        step = over_machines(make_step(loss, optimizer))
        schedule = Schedule(last_step, _LOG_EVERY, _CHECKPOINT_EVERY)
        with contextlib.closing(Checkpoints(folder / part, 1)) as checkpoints:
            state, _ = train_loop(
                step, state, feed, schedule, checkpoints, names=names, on_log=on_log
            )
    return [state.params_of(i) for i in range(len(images))]


def _identity(config: ConfigDict, images: list[Image], budgets: list[float], seed: int) -> str:
    # What checkpoints hold has changed with this number: older ones are left alone.
    sha = hashlib.sha256(f"{_CHECKPOINT_VERSION}{configs.to_json(config)}{budgets}{seed}".encode())
    for image in images:
        sha.update(f"{image.pixels.shape}".encode())
        sha.update(image.pixels.tobytes())
    return sha.hexdigest()[:16]
