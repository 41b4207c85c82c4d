"""Compression as in the thesis: overfit one machine to one image, many of them at once."""

import contextlib
import itertools
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32
from ml_collections import ConfigDict

from dfm_flax import cluster
from dfm_flax.compression.losses import LOSSES
from dfm_flax.compression.run import CompressionRun
from dfm_flax.fourier.series import evaluation
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.training.feed import PixelFeed
from dfm_flax.training.loop import Progress, Schedule
from dfm_flax.training.loop import train as train_loop
from dfm_flax.training.losses import Metrics, make_loss
from dfm_flax.training.optimizers import make_optimizer
from dfm_flax.training.profiling import Profile
from dfm_flax.training.side_by_side import SideBySide
from dfm_flax.training.state import TrainState, initial_states, num_parameters
from dfm_flax.training.step import (
    Step,
    at_precision,
    check_divides,
    make_step,
    over_machines,
)

log = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: str | Path, profile_steps: int = 0) -> list[dict[str, Any]]:
    """Trains, or goes on training, one machine for each image and seed of a config.

    Writes into the run's folder: images.npz, config.json, checkpoints, TensorBoard files,
    results.json, and for each machine reconstructions/NAME.png and figures/NAME.png.

    With `profile_steps` so many steps are profiled. Of several processes (see `cluster`), all
    must see the images; only process 0 writes.

    Returns:
      One entry a machine, see `results.measure`; none in processes other than 0.

    Raises:
      DfmError: training diverged or was interrupted, see `training.loop.train`.
      UsageError: settings or input cannot be used.
    """
    return train_side_by_side([config], [workdir], profile_steps)


def train_side_by_side(
    configs: Sequence[ConfigDict], workdirs: Sequence[str | Path], profile_steps: int = 0
) -> list[dict[str, Any]]:
    """`train` of several runs at once, all of their machines in one vmapped step.

    Each folder becomes what it would become alone, to float tolerance, and its run can go on
    alone, or side by side with others that are at the same step. What stops one stops all.

    Args:
      configs: they differ in `CompressionTask.may_differ` at most.

    Returns:
      The entries of all, one run's after the other's.
    """
    runs = [CompressionRun(*both) for both in zip(configs, workdirs, strict=True)]
    training = configs[0].training
    schedule = Schedule(training.num_steps, training.log_every, training.checkpoint_every)
    check_divides(training.batch_size, jax.device_count())
    step, numbers = _step_of_all(runs)
    optimizer = make_optimizer(configs[0].optimizer, training.num_steps)
    ends = itertools.accumulate((len(run.jobs) for run in runs), initial=0)
    parts = [slice(*pair) for pair in itertools.pairwise(ends)]
    state = TrainState.concatenate(
        [initial_states(run.machine, optimizer, [job.seed for job in run.jobs]) for run in runs]
    )
    images = [job.image.pixels for run in runs for job in run.jobs]
    feed = PixelFeed.stack(images, training.batch_size, training.sampling)
    alone, writes = len(runs) == 1, cluster.is_writer()
    weights = num_parameters(state.params) // parts[-1].stop
    where = runs[0].folder if alone else runs[0].folder.parent
    log.info("%s: %d machine(s) of %d weights", where, parts[-1].stop, weights)
    log.info("Fourier series by %s", evaluation())

    def on_log(progress: Progress) -> dict[str, str]:
        for run, part in zip(runs, parts, strict=True):
            run.log(progress, part, weights)
            run.observe(progress, part)
        psnrs = [psnr_of_loss(error) for error in progress.metrics["mse"]]
        return {"psnr": f"{np.mean(psnrs):.2f} dB"}

    with contextlib.ExitStack() as stack:
        for run in runs if writes else ():
            # Only now, so that settings that turned out wrong can be corrected.
            stack.enter_context(run.writing(state.params_of(0), None if alone else run.folder.name))
        begin = time.perf_counter()
        state, history = train_loop(
            step,
            state,
            (feed, numbers),
            schedule,
            SideBySide([run.checkpoints for run in runs], parts),
            names=[
                job.name if alone else f"{run.folder.name}/{job.name}"
                for run in runs
                for job in run.jobs
            ],
            curve="mse",
            on_log=on_log,
            profile=Profile(runs[0].folder, profile_steps) if profile_steps and writes else None,
        )
        if not writes:
            return []
        log.info("trained for %.0f s", time.perf_counter() - begin)
        entries = []
        for run, part in zip(runs, parts, strict=True):
            curves = [(at, losses[part]) for at, losses in history]
            entries += run.measure(state.machines(part), curves)
    return entries


def _step_of_all(
    runs: Sequence[CompressionRun],
) -> tuple[Step, dict[str, Float32[np.ndarray, "machines"]]]:
    """The step of all machines of all runs, on (feed, numbers), and these numbers.

    They are those of the optimizer that differ from run to run. What is the same stays a
    constant, so that a run alone has the bits that it would have without the others' numbers.
    """
    config = runs[0].config
    loss = make_loss(LOSSES, runs[0].machine, config)
    numbers = {
        name: np.array([run.config.optimizer[name] for run in runs for _ in run.jobs], np.float32)
        for name in config.optimizer
        if len({run.config.optimizer[name] for run in runs}) > 1
    }

    def step(
        state: TrainState, data: tuple[PixelFeed, dict[str, Any]]
    ) -> tuple[TrainState, Metrics]:
        feed, own = data
        section = ConfigDict({**config.optimizer, **own})
        optimizer = make_optimizer(section, config.training.num_steps)
        return make_step(loss, optimizer)(state, feed)

    return at_precision(over_machines(step), config.training.precision), numbers
