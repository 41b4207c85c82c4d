"""Compression as in the thesis: overfit one machine to one image, many of them at once."""

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict
from tqdm import tqdm

from dfm_flax import cluster
from dfm_flax import config as configs
from dfm_flax.data.images import write_image
from dfm_flax.data.positions import MAX_STRATIFIED, Target
from dfm_flax.errors import UsageError, one_line
from dfm_flax.fourier import FourierMachine
from dfm_flax.fourier.series import evaluation
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.runs import Run
from dfm_flax.tasks.inputs import make_jobs, open_images, start, stored_images
from dfm_flax.tasks.rendering import render
from dfm_flax.tasks.results import evaluate
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.loop import Progress, Schedule
from dfm_flax.training.loop import train as train_loop
from dfm_flax.training.observing import OPERATIONS, performance
from dfm_flax.training.optimizers import make_optimizer, make_schedule
from dfm_flax.training.profiling import Profile
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import check_divides, make_step, over_machines, shard

log = logging.getLogger(__name__)

# What a config must have, each with a value of the right type.
SETTINGS = {
    "task": "compress",
    "seeds": (0, 1),
    "data.images": ("a.png", "b.png"),
    "data.resize": 0,
    "data.crop": (400, 400),
    "model.depth": 4,
    "model.width": 9,
    "model.max_frequencies": (1, 1, 1),
    "model.variances": (0.1, 0.1, 0.1),
    "model.additive": False,
    "model.normalize": False,
    "model.residual": True,
    "model.extent": 1.0,
    "optimizer.name": "adam",
    "optimizer.b1": 0.9,
    "optimizer.b2": 0.999,
    "optimizer.learning_rate": 1e-4,
    "optimizer.final_learning_rate": 0.0,
    "optimizer.schedule": "constant",
    "optimizer.warmup_steps": 0,
    "training.num_steps": 1000,
    "training.batch_size": 64,
    "training.sampling": "uniform",
    "training.log_every": 100,
    "training.checkpoint_every": 100,
    "training.keep_checkpoints": 2,
}
SETTINGS_OF_SOAP = {"optimizer.refresh_every": 20}


def check_settings(config: ConfigDict) -> None:
    """Raises UsageError unless a config has all settings of compression, no others, and sense."""
    configs.check(config, "config", SETTINGS, SETTINGS_OF_SOAP)
    make_machine(config, channels=3)
    make_optimizer(config.optimizer, config.training.num_steps)


def make_machine(config: ConfigDict, channels: int) -> FourierMachine:
    """The machine of a config's `model` section; UsageError if its settings make no sense."""
    try:
        return FourierMachine(channels=channels, **config.model)
    except ValueError as error:
        raise UsageError(f"config.model: {one_line(error)}") from error


def reconstruction_loss(model: nn.Module, batch_size: int, sampling: str = "uniform"):
    """Mean squared error over a random batch of pixels (eq. 4.7), on this device's shard.

    `sampling` is 'uniform' or 'stratified', see `Target.draw`.
    """
    if sampling not in ("uniform", "stratified"):
        raise UsageError(f"training.sampling={sampling!r} is not one of uniform, stratified")
    if sampling == "stratified" and batch_size > MAX_STRATIFIED:
        raise UsageError(f"stratified batches have at most {MAX_STRATIFIED} pixels")

    def loss(params, target: Target, rng: jax.Array) -> jax.Array:
        index = target.draw(rng, batch_size, stratified=sampling == "stratified")
        positions, colours = target.at(shard(index))
        prediction: Any = model.apply({"params": params}, positions)
        return jnp.mean((prediction - colours) ** 2)

    return loss


def initial_state(model: nn.Module, optimizer, seeds: list[int]) -> TrainState:
    """The stacked states of one model a seed, each as it would be alone."""

    def create(seed):
        init_rng, step_rng = jax.random.split(jax.random.PRNGKey(seed))
        params = model.init(init_rng, jnp.zeros((1, 2)))["params"]
        return TrainState.create(step_rng, params, optimizer)

    create_all = jax.vmap(create, out_axes=TrainState.of_machines())
    return jax.tree.map(np.array, jax.jit(create_all)(np.array(seeds, np.uint32)))


def train(config: ConfigDict, workdir: str | Path, profile_steps: int = 0) -> list[dict]:
    """Trains, or goes on training, one machine for each image and seed of a config.

    Writes into the run's folder: images.npz, config.json, checkpoints, TensorBoard files,
    results.json, and for each machine reconstructions/NAME.png and figures/NAME.png.

    With `profile_steps` so many steps are profiled. Of several processes (see `cluster`), all
    must see the images; only process 0 writes.

    Returns:
      One entry a machine, see `results.evaluate`; none in processes other than 0.

    Raises:
      DfmError: training diverged or was interrupted, see `training.loop.train`.
      UsageError: settings or input cannot be used.
    """
    check_settings(config)
    training = config.training
    schedule = Schedule(training.num_steps, training.log_every, training.checkpoint_every)
    check_divides(training.batch_size, jax.device_count())
    optimizer = make_optimizer(config.optimizer, training.num_steps)
    run = Run(workdir)
    checkpoints = Checkpoints(run.checkpoints, training.keep_checkpoints)
    images = open_images(run, config)
    machine = make_machine(config, images[0].pixels.shape[-1])
    loss = reconstruction_loss(machine, training.batch_size, training.sampling)
    step = over_machines(make_step(loss, optimizer))
    jobs = make_jobs(images, config.seeds)
    state = initial_state(machine, optimizer, [job.seed for job in jobs])
    weights = sum(leaf.size for leaf in jax.tree.leaves(state.params)) // len(jobs)
    log.info("%s: %d machine(s) of %d weights", run.folder, len(jobs), weights)
    log.info("Fourier series by %s", evaluation())
    names = [job.name for job in jobs]
    target = Target.stack([job.image.pixels for job in jobs])
    if not cluster.is_writer():
        train_loop(step, state, target, schedule, checkpoints, names=names)
        return []

    with run.lock():
        # Only now, so that settings that turned out wrong can be corrected.
        start(run, config, images)
        from dfm_flax.training.writers import create_writers

        writer, tensorboard = create_writers(run.folder)
        on_log = _make_on_log(config, names, weights, writer, tensorboard)
        profile = Profile(run.folder, profile_steps) if profile_steps else None
        with contextlib.closing(checkpoints), contextlib.closing(writer):
            begin = time.perf_counter()
            state, history = train_loop(
                step,
                state,
                target,
                schedule,
                checkpoints,
                names=names,
                on_log=on_log,
                profile=profile,
            )
            log.info("trained for %.0f s", time.perf_counter() - begin)
            results, steps = [], int(state.step)
            bar = tqdm(jobs, "measuring", unit="machine", delay=2, leave=False, disable=None)
            for i, job in enumerate(bar):
                curve = [(step, psnr_of_loss(losses[i])) for step, losses in history]
                entry, picture = evaluate(run, machine, job, machine_params(state, i), curve, steps)
                results.append(entry)
                tensorboard.write_images(steps, {job.name: picture[None]})
        run.write_results(results)
    return results


def _make_on_log(config: ConfigDict, names: list[str], weights: int, writer, tensorboard):
    rate = make_schedule(config.optimizer, config.training.num_steps)
    pixels = len(names) * config.training.batch_size

    def on_log(progress: Progress) -> dict[str, str]:
        psnrs = [psnr_of_loss(loss) for loss in progress.losses]
        steps_left = config.training.num_steps - progress.step
        tensorboard.write_scalars(
            progress.step,
            {f"psnr/{name}": psnr for name, psnr in zip(names, psnrs, strict=True)}
            | performance(progress, pixels, OPERATIONS * weights * pixels),
        )
        scalars = {
            "loss": float(np.mean(progress.losses)),
            "psnr": float(np.mean(psnrs)),
            "learning_rate": float(rate(progress.step - 1)),
            "steps_per_second": progress.steps_per_second,
            "minutes_left": steps_left / progress.steps_per_second / 60,
        }
        writer.write_scalars(progress.step, scalars)
        return {"psnr": f"{np.mean(psnrs):.2f} dB"}

    return on_log


def reconstruct(
    workdir: str | Path,
    out: str | Path,
    scale: float = 1.0,
    size: tuple[int, int] | None = None,
) -> list[Path]:
    """Renders the machines of a run from its newest checkpoint, at any size.

    Args:
      out: folder that gets NAME_WIDTHxHEIGHT.png for each machine, with as many levels
        as its training image has.
      scale: size relative to the training image, where `size` is not given.
      size: (height, width) in pixels.

    Returns:
      The files written.
    """
    run = Run(workdir)
    config = run.config()
    configs.check(config, run.config_file, SETTINGS, SETTINGS_OF_SOAP)
    jobs = make_jobs(stored_images(run), config.seeds)
    machine = make_machine(config, jobs[0].image.pixels.shape[-1])
    optimizer = make_optimizer(config.optimizer, config.training.num_steps)
    template = initial_state(machine, optimizer, [job.seed for job in jobs])
    with contextlib.closing(Checkpoints(run.checkpoints, read_only=True)) as checkpoints:
        restored = checkpoints.restore_newest(template)
    if restored is None:
        raise UsageError(f"{run.folder}: no checkpoint yet; train first")
    state, _ = restored
    paths = []
    for i, job in enumerate(jobs):
        height, width = size or [max(1, round(n * scale)) for n in job.image.pixels.shape[:2]]
        path = Path(out) / f"{job.name}_{width}x{height}.png"
        picture = render(machine, machine_params(state, i), height, width)
        write_image(path, picture, job.image.levels)
        paths.append(path)
    return paths


def machine_params(state: TrainState, index: int):
    """The parameters of one machine of a stacked state."""
    return jax.tree.map(lambda leaf: leaf[index], state.params)
