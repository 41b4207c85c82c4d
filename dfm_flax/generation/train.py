"""Generation as in the thesis: a decoder learns to draw a data set from latents."""

import contextlib
import functools
import logging
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, UInt32
from ml_collections import ConfigDict

from dfm_flax import cluster
from dfm_flax.data.stream import num_workers
from dfm_flax.fourier.series import evaluation
from dfm_flax.generation.feed import ImageFeed, ImageStream
from dfm_flax.generation.generator import Generator, ImageShape, initial_params
from dfm_flax.generation.learning_rates import make_learning_rates, make_table_optimizer
from dfm_flax.generation.run import GenerationRun
from dfm_flax.generation.training_images import TrainingImages
from dfm_flax.training.loop import Schedule
from dfm_flax.training.loop import train as train_loop
from dfm_flax.training.losses import MakeLoss, make_loss
from dfm_flax.training.optimizers import make_grouped_optimizer
from dfm_flax.training.placement import make_placement
from dfm_flax.training.profiling import Profile
from dfm_flax.training.state import TrainState, num_parameters
from dfm_flax.training.step import Step, at_precision, check_divides, make_step
from dfm_flax.training.table import LatentTable, check_memory

log = logging.getLogger(__name__)

LOSSES: dict[str, MakeLoss] = {"": lambda model, config: model.loss}


def train(config: ConfigDict, workdir: str | Path, profile_steps: int = 0) -> list[dict[str, Any]]:
    """Trains, or goes on training, a generator on a data set.

    Writes into the run's folder: config.json, data.json, checkpoints, TensorBoard files with
    curves, learning rates and what the config's observers see, and results.json.

    With `profile_steps` so many steps are profiled. Of several processes (see `cluster`), all
    must see the data set, of which each reads its part; only process 0 writes.

    Returns:
      One entry, in process 0: see `GenerationRun.measure`.

    Raises:
      DfmError: training diverged or was interrupted, see `training.loop.train`.
      UsageError: settings or data cannot be used.
    """
    run = GenerationRun(config, workdir)
    training, latent_size = config.training, config.model.latent_size
    schedule = Schedule(training.num_steps, training.log_every, training.checkpoint_every)
    check_divides(training.batch_size, jax.device_count())
    has_table = config.model.latents == "table"
    num_rows = run.data.num if has_table else None
    placement = make_placement(config.training.table_placement, num_rows)
    if has_table:
        shared_by = jax.device_count() if placement.needs_all else 1
        check_memory(run.data.num, latent_size, shared_by)
    step = make_generation_step(run.model, config)
    way = "streamed from the disk" if run.data.feed.streams else "on the devices"
    log.info("images are %s (%s)", way, run.data.feed.reason)
    state, order = initial_state(run.model, config, run.shape, run.data.num)
    feed = make_feed(run.data, order, config)
    weights = {name: num_parameters(state.params[name]) for name in state.params}
    log.info("%s: %d images of %s, weights: %s", run.folder, run.data.num, run.shape, weights)
    log.info("Fourier series by %s", evaluation())
    loop = functools.partial(
        train_loop,
        step,
        state,
        feed,
        schedule,
        run.checkpoints,
        curve="mse",
        looks=run.looks,
        placement=placement,
    )
    if not cluster.is_writer():
        with contextlib.closing(run.checkpoints):
            loop()
        return []

    # Only now, so that settings that turned out wrong can be corrected.
    with run.writing(state.params):
        begin = time.perf_counter()
        profile = Profile(run.folder, profile_steps) if profile_steps else None
        state, _ = loop(on_log=run.log, profile=profile)
        log.info("trained for %.0f s", time.perf_counter() - begin)
        return [run.measure(state)]


def make_feed(
    data: TrainingImages, order: UInt32[np.ndarray, "2"], config: ConfigDict
) -> ImageFeed | ImageStream:
    """What the steps of a run get their batches from, in the order of a random key."""
    training, latent_size = config.training, config.model.latent_size
    if data.source is None:
        return ImageFeed(data.images, order, training.batch_size, latent_size)
    return ImageStream(
        data.source,
        order,
        training.batch_size,
        latent_size,
        training.num_steps,
        training.log_every,
        num_workers(config.data.workers),
    )


def make_generation_step(model: Generator, config: ConfigDict) -> Step:
    """The step of a generator under a config; its state is `initial_state`'s."""
    step = make_step(
        make_loss(LOSSES, model, config),
        make_grouped_optimizer(config.optimizer, make_learning_rates(config)),
        ema_decay=config.optimizer.ema_decay,
        table_optimizer=make_table_optimizer(config),
        shards_table=config.training.table_placement == "sharded",
    )
    return at_precision(step, config.training.precision)


def initial_state(
    model: Generator,
    config: ConfigDict,
    shape: ImageShape,
    num_images: int,
) -> tuple[TrainState, UInt32[np.ndarray, "2"]]:
    """The state at step 0, and the random key of the feed's order; both follow from the seed."""
    optimizer = make_grouped_optimizer(config.optimizer, make_learning_rates(config))
    latent_size = config.model.latent_size

    def create(rng: PRNGKeyArray) -> tuple[TrainState, PRNGKeyArray]:
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
