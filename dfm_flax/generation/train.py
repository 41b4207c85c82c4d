"""Generation as in the thesis: a decoder learns to draw a data set from latents."""

import contextlib
import hashlib
import logging
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict
from numpy.typing import NDArray

from dfm_flax import cluster
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.fourier.series import evaluation
from dfm_flax.generation.drawing import draw, encode
from dfm_flax.generation.feed import ImageFeed
from dfm_flax.generation.generator import Generator, ImageShape, initial_params, make_generator
from dfm_flax.generation.observer import OBSERVERS, GeneratorSnapshot
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.runs import Run
from dfm_flax.tasks import task_of
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.loop import Progress, Schedule
from dfm_flax.training.loop import train as train_loop
from dfm_flax.training.losses import MakeLoss, make_loss
from dfm_flax.training.observer import Observers, write_observation
from dfm_flax.training.optimizers import make_grouped_optimizer, make_schedule, slowed
from dfm_flax.training.performance import OPERATIONS, performance
from dfm_flax.training.profiling import Profile
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import Step, check_divides, first_replica, make_step
from dfm_flax.training.table import LatentTable, check_memory

log = logging.getLogger(__name__)

_MEASURED = 10_000  # images that the final reconstruction error is measured on

LOSSES: dict[str, MakeLoss] = {"": lambda model, config: model.loss}


def train(config: ConfigDict, workdir: str | Path, profile_steps: int = 0) -> list[dict[str, Any]]:
    """Trains, or goes on training, a generator on a data set.

    Writes into the run's folder: config.json, data.json, checkpoints, TensorBoard files with
    curves, learning rates and what the config's observers see, and results.json.

    With `profile_steps` so many steps are profiled. Of several processes (see `cluster`), all
    must see the data set, of which each reads its part; only process 0 writes.

    Returns:
      One entry, in process 0: name of the model, its weights, steps and epochs, and the mse
      and psnr (dB) of reconstructions of images that it was trained on, in [0, 1].

    Raises:
      DfmError: training diverged or was interrupted, see `training.loop.train`.
      UsageError: settings or data cannot be used.
    """
    task_of(config).check(config)
    training = config.training
    schedule = Schedule(training.num_steps, training.log_every, training.checkpoint_every)
    check_divides(training.batch_size, jax.device_count())
    run = Run(workdir)
    checkpoints = Checkpoints(run.checkpoints, training.keep_checkpoints)
    images = open_image_set(run, config)
    shape = ImageShape(*images.shape[1:])
    model = make_generator(config, shape)
    if config.model.latents == "table":
        check_memory(len(images), config.model.latent_size)
    learning_rates = make_learning_rates(config)
    step = make_generation_step(model, config, learning_rates)
    state, order = initial_state(model, config, learning_rates, shape, len(images))
    feed = ImageFeed(images, order, training.batch_size, config.model.latent_size)
    weights = {name: _size(state.params[name]) for name in state.params}
    log.info("%s: %d images of %s, weights: %s", run.folder, len(images), shape, weights)
    log.info("Fourier series by %s", evaluation())
    if not cluster.is_writer():
        train_loop(step, state, feed, schedule, checkpoints, curve="mse")
        return []

    observers = Observers(OBSERVERS, config)
    with run.lock():
        # Only now, so that settings that turned out wrong can be corrected.
        start_run(run, config, images)
        from dfm_flax.training.writers import describe, open_writers

        profile = Profile(run.folder, profile_steps) if profile_steps else None
        with contextlib.closing(checkpoints), open_writers(run.folder) as (writer, tensorboard):
            describe(tensorboard, config, state.params)

            def on_log(progress: Progress) -> dict[str, str]:
                writer.write_scalars(progress.step, _scalars(config, progress, len(images)))
                operations = (
                    OPERATIONS
                    * training.batch_size
                    * model.num_products(sum(weights.values()), shape)
                )
                tensorboard.write_scalars(
                    progress.step, performance(progress, training.batch_size, operations)
                )
                if observers.due(progress.step):
                    seen = observers(_snapshot(model, progress.state, images))
                    write_observation(tensorboard, progress.step, seen)
                psnr = psnr_of_loss(float(progress.metrics["mse"]))
                return {"loss": f"{progress.metrics['loss']:.4g}", "psnr": f"{psnr:.2f} dB"}

            begin = time.perf_counter()
            state, _ = train_loop(
                step,
                state,
                feed,
                schedule,
                checkpoints,
                curve="mse",
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


def make_generation_step(
    model: Generator, config: ConfigDict, learning_rates: dict[str, optax.Schedule]
) -> Step:
    """The step of a generator under a config; its state is `initial_state`'s."""
    optimizer, table_learning_rate = config.optimizer, learning_rates.get("table")

    def update_table(
        table: LatentTable, index: jax.Array, gradients: jax.Array, step: jax.Array
    ) -> LatentTable:
        assert table_learning_rate is not None
        return table.update(index, gradients, table_learning_rate(step), optimizer.b1, optimizer.b2)

    return make_step(
        make_loss(LOSSES, model, config),
        make_grouped_optimizer(optimizer, learning_rates),
        ema_decay=optimizer.ema_decay,
        update_table=update_table,
    )


def initial_state(
    model: Generator,
    config: ConfigDict,
    learning_rates: dict[str, optax.Schedule],
    shape: ImageShape,
    num_images: int,
) -> tuple[TrainState, NDArray[np.uint32]]:
    """The state at step 0, and the random key of the feed's order; both follow from the seed."""
    optimizer = make_grouped_optimizer(config.optimizer, learning_rates)
    latent_size = config.model.latent_size

    def create(rng: jax.Array) -> tuple[TrainState, jax.Array]:
        init_rng, table_rng, rng = jax.random.split(rng, 3)
        order_rng, step_rng = jax.random.split(rng)
        table = None
        if config.model.latents == "table":
            variance = config.model.table_variance
            table = LatentTable.create(table_rng, num_images, latent_size, variance)
        params = initial_params(model, init_rng, latent_size, shape)
        averaged = config.optimizer.ema_decay > 0
        state = TrainState.create(step_rng, params, optimizer, averaged=averaged, table=table)
        return state, order_rng

    return jax.tree.map(np.array, jax.jit(create)(jax.random.PRNGKey(config.seed)))


def make_learning_rates(config: ConfigDict) -> dict[str, optax.Schedule]:
    """Those of 'decoder', and of 'encoder' or 'table', whichever gives the latents."""
    num_steps = config.training.num_steps
    learning_rate = make_schedule(config.optimizer, num_steps)
    slow = slowed(learning_rate, config.optimizer.latent_ratios, num_steps)
    return {"decoder": learning_rate, config.model.latents: slow}


def _scalars(config: ConfigDict, progress: Progress, num_images: int) -> dict[str, float]:
    step, training = progress.step, config.training
    metrics = {name: float(value) for name, value in progress.metrics.items()}
    learning_rates = make_learning_rates(config)
    return {
        **metrics,
        "psnr": psnr_of_loss(metrics["mse"]),
        "epoch": step * training.batch_size / num_images,
        **{
            f"learning_rate/{name}": float(schedule(step - 1))
            for name, schedule in learning_rates.items()
        },
        "steps_per_second": progress.steps_per_second,
        "minutes_left": (training.num_steps - step) / progress.steps_per_second / 60,
    }


def _size(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _snapshot(model: Generator, state: TrainState, images: NDArray[np.uint8]) -> GeneratorSnapshot:
    """Of a state that is replicated over the devices."""
    table = None if state.table is None else first_replica(state.table.latents)
    return GeneratorSnapshot(model, first_replica(state.averaged_params), images, table)


def open_image_set(run: Run, config: ConfigDict) -> NDArray[np.uint8]:
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


def start_run(run: Run, config: ConfigDict, images: NDArray[np.uint8]) -> None:
    """Writes what tells a new run's images, and its config; a run that was started is left."""
    if run.started:
        run.check_same(config)
        return
    run.create()
    run.write_json("data.json", _facts(images))
    run.write_config(config)


def _facts(images: NDArray[np.uint8]) -> dict:
    return {"shape": list(images.shape), "sha256": hashlib.sha256(images.tobytes()).hexdigest()}


def reconstruction_error(model: Generator, state: TrainState, images: NDArray[np.uint8]) -> float:
    """Mean squared error, for intensities in [0, 1], of reconstructions of the first images."""
    images = images[:_MEASURED]
    if state.table is None:
        latents = encode(model, state.averaged_params, images)
    else:
        latents = np.asarray(state.table.latents[: len(images)])
    drawn = draw(model, state.averaged_params, latents, *images.shape[1:3])
    return float(np.mean((drawn - images / np.float32(255)) ** 2))
