"""Compression as in the thesis: overfit one machine to one image, many of them at once."""

import logging
import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from dfm_flax.data.images import write_image
from dfm_flax.data.positions import MAX_STRATIFIED, Target
from dfm_flax.errors import UsageError
from dfm_flax.fourier import FourierMachine
from dfm_flax.metrics.distortion import distortion, percent_of_raw_size, psnr_of_loss
from dfm_flax.reports.reconstruction import reconstruction_figure
from dfm_flax.runs import Run
from dfm_flax.tasks.inputs import Job, make_jobs, open_images, stored_images
from dfm_flax.tasks.rendering import render
from dfm_flax.training.checkpoints import Checkpoints, History
from dfm_flax.training.loop import Progress, Schedule
from dfm_flax.training.loop import train as train_loop
from dfm_flax.training.optimizers import make_optimizer, make_schedule
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import check_divides, make_step, over_machines, shard

log = logging.getLogger(__name__)


def make_machine(config: ConfigDict, channels: int) -> FourierMachine:
    return FourierMachine(channels=channels, **config.model)


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


def train(config: ConfigDict, workdir: str | Path) -> list[dict]:
    """Trains, or goes on training, one machine for each image and seed of a config.

    Writes into the run's folder: images.npz, config.json, checkpoints, TensorBoard files,
    results.json, and for each machine reconstructions/NAME.png and figures/NAME.png.

    Returns:
      One entry a machine: name, weights, percent of the raw size by the thesis's rule,
      steps, and mse, psnr (dB), ssim, ms_ssim of the reconstruction as it is stored; None
      where the image is too small for a measure, or psnr is infinite.

    Raises:
      DfmError: training diverged or was interrupted, see `training.loop.train`.
      UsageError: settings or input cannot be used.
    """
    from dfm_flax.training.writers import create_writers  # brings TensorFlow

    training = config.training
    schedule = Schedule(training.num_steps, training.log_every, training.checkpoint_every)
    check_divides(training.batch_size, jax.local_device_count())
    optimizer = make_optimizer(config.optimizer, training.num_steps)
    rate = make_schedule(config.optimizer, training.num_steps)
    run = Run(workdir)
    jobs = make_jobs(open_images(run, config), config.seeds)
    names = [job.name for job in jobs]
    machine = make_machine(config, jobs[0].image.pixels.shape[-1])
    state = initial_state(machine, optimizer, [job.seed for job in jobs])
    weights = num_weights(state.params)
    log.info("%s: %d machine(s) of %d weights", run.folder, len(jobs), weights)

    loss = reconstruction_loss(machine, training.batch_size, training.sampling)
    step = over_machines(make_step(loss, optimizer))
    target = Target.stack([job.image.pixels for job in jobs])
    checkpoints = Checkpoints(run.checkpoints, training.keep_checkpoints)
    writer, tensorboard = create_writers(run.folder)

    def on_log(progress: Progress) -> dict[str, str]:
        psnrs = [psnr_of_loss(loss) for loss in progress.losses]
        tensorboard.write_scalars(
            progress.step, {f"psnr/{name}": psnr for name, psnr in zip(names, psnrs, strict=True)}
        )
        scalars = {
            "loss": float(np.mean(progress.losses)),
            "psnr": float(np.mean(psnrs)),
            "learning_rate": float(rate(progress.step - 1)),
            "steps_per_second": progress.steps_per_second,
        }
        writer.write_scalars(progress.step, scalars)
        return {"psnr": f"{np.mean(psnrs):.2f} dB"}

    begin = time.perf_counter()
    try:
        state, history = train_loop(
            step, state, target, schedule, checkpoints, names=names, on_log=on_log
        )
        log.info("trained for %.0f s", time.perf_counter() - begin)
        results = []
        for i, job in enumerate(jobs):
            entry, picture = _evaluate(run, machine, job, machine_params(state, i), history, i)
            results.append(
                {"name": job.name, "weights": weights, **entry, "steps": int(state.step)}
            )
            tensorboard.write_images(int(state.step), {job.name: picture[None]})
    finally:
        writer.close()
        checkpoints.close()
    run.write_results(results)
    return results


def reconstruct(
    workdir: str | Path,
    out: str | Path,
    scale: float = 1.0,
    size: tuple[int, int] | None = None,
) -> list[Path]:
    """Renders the machines of a run from its newest checkpoint, at any size.

    Args:
      out: folder that gets NAME_WIDTHxHEIGHT.png for each machine.
      scale: size relative to the training image, where `size` is not given.
      size: (height, width) in pixels.

    Returns:
      The files written.
    """
    run = Run(workdir)
    config = run.config()
    jobs = make_jobs(stored_images(run), config.seeds)
    machine = make_machine(config, jobs[0].image.pixels.shape[-1])
    optimizer = make_optimizer(config.optimizer, config.training.num_steps)
    template = initial_state(machine, optimizer, [job.seed for job in jobs])
    checkpoints = Checkpoints(run.checkpoints, config.training.keep_checkpoints)
    restored = checkpoints.restore_newest(template)
    checkpoints.close()
    if restored is None:
        raise UsageError(f"{run.folder}: no checkpoint yet; train first")
    state, _ = restored
    paths = []
    for i, job in enumerate(jobs):
        height, width = size or [max(1, round(n * scale)) for n in job.image.pixels.shape[:2]]
        path = Path(out) / f"{job.name}_{width}x{height}.png"
        write_image(path, render(machine, machine_params(state, i), height, width))
        paths.append(path)
    return paths


def machine_params(state: TrainState, index: int):
    """The parameters of one machine of a stacked state."""
    return jax.tree.map(lambda leaf: leaf[index], state.params)


def num_weights(params) -> int:
    """Weights of one machine of stacked parameters."""
    return sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(params))


def _evaluate(
    run: Run, machine: FourierMachine, job: Job, params, history: History, index: int
) -> tuple[dict, np.ndarray]:
    """Writes a machine's reconstruction and figure; returns its figures of merit and its image."""
    original = job.image.pixels
    height, width, channels = original.shape
    picture = render(machine, params, height, width)
    picture = np.rint(picture * job.image.levels) / job.image.levels
    write_image(run.folder / "reconstructions" / f"{job.name}.png", picture, job.image.levels)
    weights = sum(leaf.size for leaf in jax.tree.leaves(params))
    percent = percent_of_raw_size(weights, height, width, channels)
    measures = distortion(original, picture)
    reconstruction_figure(
        run.folder / "figures" / f"{job.name}.png",
        original,
        picture,
        [(step, psnr_of_loss(losses[index])) for step, losses in history],
        title=f"{job.name}: {weights} weights ({percent:.2f}% of raw size), "
        f"{measures['psnr']:.2f} dB",
    )
    # JSON has no NaN: what an image is too small for is null.
    finite = {name: value if math.isfinite(value) else None for name, value in measures.items()}
    return {"percent": percent, **finite}, picture
