"""The machines of a run of compression as images, at any size."""

import contextlib
from pathlib import Path
from typing import Any

from dfm_flax.compression.jobs import Job, make_jobs, stored_images
from dfm_flax.data.images import write_image
from dfm_flax.errors import UsageError
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.machine import make_machine
from dfm_flax.models.rendering import render
from dfm_flax.outputs import Outputs
from dfm_flax.runs import Run
from dfm_flax.tasks import task_of
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.optimizers import make_optimizer
from dfm_flax.training.state import initial_states


def reconstruct(
    workdir: str | Path,
    outputs: Outputs,
    scale: float = 1.0,
    size: tuple[int, int] | None = None,
) -> list[Path]:
    """Renders the machines of a run from its newest checkpoint, at any size.

    Args:
      outputs: folder that gets NAME_WIDTHxHEIGHT.png for each machine, with as many levels
        as its training image has.
      scale: size relative to the training image, where `size` is not given.
      size: (height, width) in pixels.

    Returns:
      The files written.
    """
    run = Run(workdir)
    config = run.config()
    task_of(config).check(config, run.config_file)
    jobs = make_jobs(stored_images(run), config.seed, config.num_seeds)
    sizes = [size or _scaled(job.image.pixels.shape[:2], scale) for job in jobs]
    paths = outputs.folder(
        f"{job.name}_{width}x{height}.png" for job, (height, width) in zip(jobs, sizes, strict=True)
    )
    machine, params = newest_machines(run, jobs)
    for path, job, shape, own in zip(paths, jobs, sizes, params, strict=True):
        write_image(path, render(machine, own, *shape), job.image.levels)
    return paths


def newest_machines(run: Run, jobs: list[Job]) -> tuple[FourierMachine, list[Any]]:
    """The structure of a run's machines, and the parameters of each, of its newest checkpoint.

    Raises:
      UsageError: there is no checkpoint yet.
    """
    config = run.config()
    machine = make_machine(config.model.machine, jobs[0].image.pixels.shape[-1])
    optimizer = make_optimizer(config.optimizer, config.training.num_steps)
    template = initial_states(machine, optimizer, [job.seed for job in jobs])
    with contextlib.closing(Checkpoints(run.checkpoints, read_only=True)) as checkpoints:
        restored = checkpoints.restore_newest(template)
    if restored is None:
        raise UsageError(f"{run.folder}: no checkpoint yet; train first")
    state, _ = restored
    return machine, [state.params_of(i) for i in range(len(jobs))]


def _scaled(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    height, width = (max(1, round(side * scale)) for side in shape)
    return height, width
