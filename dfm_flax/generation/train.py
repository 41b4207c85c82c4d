"""Generation as in the thesis: a decoder learns to draw a data set from latents."""

import contextlib
import hashlib
import logging
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict
from numpy.typing import NDArray

from dfm_flax import cluster
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.figures.grids import image_grid
from dfm_flax.fourier.machine import num_weights as machine_weights
from dfm_flax.fourier.series import evaluation
from dfm_flax.generation.drawing import draw, encode
from dfm_flax.generation.losses import make_loss
from dfm_flax.generation.model import ImageShape, initial_params, make_generator
from dfm_flax.generation.settings import check_settings
from dfm_flax.generation.step import GenerationState, make_generation_step
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.models.generator import ImageGenerator
from dfm_flax.runs import Run
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.loop import Progress, Schedule
from dfm_flax.training.loop import train as train_loop
from dfm_flax.training.observing import OPERATIONS, performance
from dfm_flax.training.optimizers import make_grouped_optimizer, make_schedule, slowed
from dfm_flax.training.profiling import Profile
from dfm_flax.training.step import check_divides, first_replica
from dfm_flax.training.table import LatentTable, check_memory

log = logging.getLogger(__name__)

_SHOWN = 32  # images in a picture of reconstructions, and twice as many samples
_FITTED = 1_000  # images whose latents give the mean and deviation of those samples
_MEASURED = 10_000  # images that the final reconstruction error is measured on


def initial_state(
    model: ImageGenerator, optimizer, config: ConfigDict, shape: ImageShape, num_images: int
) -> GenerationState:
    """The state at step 0, as NumPy arrays; all of it follows from `config.seed`."""
    model_config = config.model

    def create(rng):
        init_rng, table_rng, step_rng = jax.random.split(rng, 3)
        params = initial_params(model, init_rng, model_config.latent_size, shape)
        table = None
        if model_config.latents == "table":
            table = LatentTable.create(
                table_rng, num_images, model_config.latent_size, model_config.table_variance
            )
        ema = params if config.optimizer.ema_decay else None
        return GenerationState(
            jnp.zeros((), jnp.int32), step_rng, params, optimizer.init(params), ema, table
        )

    return jax.tree.map(np.array, jax.jit(create)(jax.random.PRNGKey(config.seed)))


def train(config: ConfigDict, workdir: str | Path, profile_steps: int = 0) -> list[dict]:
    """Trains, or goes on training, a generator on a data set.

    Writes into the run's folder: config.json, data.json, checkpoints, TensorBoard files with
    curves, rates, reconstructions and samples, and results.json.

    With `profile_steps` so many steps are profiled. Of several processes (see `cluster`), all
    must see the data set, of which each reads its part; only process 0 writes.

    Returns:
      One entry, in process 0: name of the model, its weights, steps and epochs, and the mse
      and psnr (dB) of reconstructions of images that it was trained on, in [0, 1].

    Raises:
      DfmError: training diverged or was interrupted, see `training.loop.train`.
      UsageError: settings or data cannot be used.
    """
    check_settings(config)
    training = config.training
    schedule = Schedule(training.num_steps, training.log_every, training.checkpoint_every)
    if training.images_every < 1 or training.images_every % training.log_every:
        raise UsageError(
            f"--config.training.images_every={training.images_every} is not a multiple of "
            f"log_every={training.log_every}"
        )
    if not 0 <= config.optimizer.ema_decay < 1:
        raise UsageError(f"--config.optimizer.ema_decay={config.optimizer.ema_decay}: 0 to below 1")
    check_divides(training.batch_size, jax.device_count())
    rates = make_rates(config)
    optimizer = make_grouped_optimizer(config.optimizer, rates)
    run = Run(workdir)
    checkpoints = Checkpoints(run.checkpoints, training.keep_checkpoints)
    images = open_images(run, config)
    shape = ImageShape(*images.shape[1:])
    model = make_generator(config.model, shape, config.loss.get("likelihood", ""))
    if config.model.latents == "table":
        check_memory(len(images), config.model.latent_size)
    loss, figures = make_loss(model, config, shape)
    step = make_generation_step(
        loss,
        optimizer,
        training.batch_size,
        table_rate=rates.get("table"),
        b1=config.optimizer.b1,
        b2=config.optimizer.b2,
        ema_decay=config.optimizer.ema_decay,
    )
    state = initial_state(model, optimizer, config, shape, len(images))
    weights = {name: num_weights(state.params[name]) for name in state.params}
    log.info("%s: %d images of %s, weights: %s", run.folder, len(images), shape, weights)
    log.info("Fourier series by %s", evaluation())
    if not cluster.is_writer():
        train_loop(step, state, images, schedule, checkpoints, names=figures)
        return []

    with run.lock():
        # Only now, so that settings that turned out wrong can be corrected.
        start(run, config, images)
        from dfm_flax.training.writers import open_writers

        profile = Profile(run.folder, profile_steps) if profile_steps else None
        with contextlib.closing(checkpoints), open_writers(run.folder) as (writer, tensorboard):
            on_log = _make_on_log(
                config, figures, rates, model, images, sum(weights.values()), writer, tensorboard
            )
            begin = time.perf_counter()
            state, _ = train_loop(
                step,
                state,
                images,
                schedule,
                checkpoints,
                names=figures,
                on_log=on_log,
                profile=profile,
            )
            log.info("trained for %.0f s", time.perf_counter() - begin)
        mse = reconstruction_error(model, state, images)
        result = {
            "name": config.model.name,
            "weights": sum(weights.values()),
            "steps": int(state.step),
            "epochs": int(state.step) * training.batch_size / len(images),
            "mse": mse,
            "psnr": psnr_of_loss(4 * mse),
        }
        run.write_results([result])
    return [result]


def _make_on_log(config, figures, rates, model, images, weights, writer, tensorboard):
    training = config.training
    operations = OPERATIONS * training.batch_size * _products(config, weights, images.shape[1:])

    def on_log(progress: Progress) -> dict[str, str]:
        values = dict(zip(figures, map(float, progress.losses), strict=True))
        psnr = psnr_of_loss(values["reconstruction"])
        steps_left = training.num_steps - progress.step
        scalars = {
            **values,
            "psnr": psnr,
            "epoch": progress.step * training.batch_size / len(images),
            **{f"rate/{name}": float(rate(progress.step - 1)) for name, rate in rates.items()},
            "steps_per_second": progress.steps_per_second,
            "minutes_left": steps_left / progress.steps_per_second / 60,
        }
        writer.write_scalars(progress.step, scalars)
        tensorboard.write_scalars(
            progress.step, performance(progress, training.batch_size, operations)
        )
        if progress.step % training.images_every == 0:
            pictures = draw_progress(model, progress.state, images)
            tensorboard.write_images(progress.step, pictures)
        return {"loss": f"{values['loss']:.4g}", "psnr": f"{psnr:.2f} dB"}

    return on_log


def _products(config: ConfigDict, weights: int, shape: tuple[int, ...]) -> int:
    """Products of one image: of each weight of the networks, of each coefficient and pixel."""
    if config.model.name != "dfm":
        return weights
    machine = config.model.machine
    coefficients = machine_weights(
        machine.depth, machine.width, shape[-1], machine.max_frequencies, machine.additive
    )
    return weights + coefficients * (config.training.pixels or math.prod(shape[:2]))


def num_weights(params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def make_rates(config: ConfigDict) -> dict[str, optax.Schedule]:
    """Learning rates: 'decoder', and 'encoder' or 'table', whichever gives the latents."""
    steps = config.training.num_steps
    rate = make_schedule(config.optimizer, steps)
    slow = slowed(rate, config.optimizer.latent_ratios, steps)
    return {"decoder": rate, config.model.latents: slow}


def open_images(run: Run, config: ConfigDict) -> NDArray[np.uint8]:
    """The images [N, H, W, C] of a config's data set. Each process reads a part of them.

    Raises:
      UsageError: the run was started with another config, or with other images.
    """
    if run.started:
        run.check_same(config)
    images = cluster.joined_rows(load_image_set(**config.data, part=cluster.place()).images)
    if run.started and run.read_json("data.json") != _facts(images):
        raise UsageError(
            f"{run.folder} was started with other images than {config.data.name} has now; "
            "restore them, or use another --workdir"
        )
    return images


def start(run: Run, config: ConfigDict, images: NDArray[np.uint8]) -> None:
    """Writes what tells a new run's images, and its config; a run that was started is left."""
    if run.started:
        run.check_same(config)
        return
    run.create()
    run.write_json("data.json", _facts(images))
    run.write_config(config)


def _facts(images: NDArray[np.uint8]) -> dict:
    return {"shape": list(images.shape), "sha256": hashlib.sha256(images.tobytes()).hexdigest()}


def draw_progress(model: ImageGenerator, state: GenerationState, images: NDArray) -> dict:
    """Pictures for TensorBoard: reconstructions under their originals, and samples.

    Args:
      state: replicated over the devices.
    """
    few = images[:_FITTED]
    params = first_replica(state.averaged_params)
    if state.table is None:
        latents = encode(model, params, few)
    else:
        latents = first_replica(state.table.latents)[:_FITTED]
    height, width = images.shape[1:3]
    drawn = draw(model, params, latents[:_SHOWN], height, width)
    pairs = np.concatenate([few[:_SHOWN] / np.float32(255), drawn], axis=2)
    normal = np.random.default_rng(0).normal(size=(2 * _SHOWN, latents.shape[1]))
    samples = draw(model, params, latents.mean(0) + latents.std(0) * normal, height, width)
    return {
        "reconstructions": image_grid(pairs, columns=4)[None],
        "samples": image_grid(samples)[None],
    }


def reconstruction_error(model: ImageGenerator, state: GenerationState, images: NDArray) -> float:
    """Mean squared error, for intensities in [0, 1], of reconstructions of the first images."""
    images = images[:_MEASURED]
    if state.table is None:
        latents = encode(model, state.averaged_params, images)
    else:
        latents = np.asarray(state.table.latents[: len(images)])
    drawn = draw(model, state.averaged_params, latents, *images.shape[1:3])
    return float(np.mean((drawn - images / np.float32(255)) ** 2))
