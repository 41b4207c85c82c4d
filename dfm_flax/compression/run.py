"""A run of compression while it is trained: what goes into its folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from dfm_flax import cluster
from dfm_flax.compression.jobs import make_jobs, open_images, start_run
from dfm_flax.compression.observer import OBSERVERS, MachinesSnapshot
from dfm_flax.compression.results import measure
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.models.machine import make_machine
from dfm_flax.runs import Run
from dfm_flax.tasks import task_of
from dfm_flax.training.charts import layout
from dfm_flax.training.checkpoints import Checkpoints, History
from dfm_flax.training.loop import Progress
from dfm_flax.training.observer import AT_A_GLANCE, Observers, write_observation
from dfm_flax.training.optimizers import make_schedule
from dfm_flax.training.performance import OPERATIONS, performance
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import first_replica


class CompressionRun:
    """One run, alone or among those that are trained side by side. Nothing is written at first.

    Attributes:
      config, folder, machine: of the run.
      jobs: the image and the seed of each of its machines.
      checkpoints: its own.

    Raises:
      UsageError: settings or input cannot be used.
    """

    def __init__(self, config: ConfigDict, workdir: str | Path):
        task_of(config).check(config)
        self.config = config
        self._run = Run(workdir)
        self.folder = self._run.folder
        if cluster.is_writer():
            self._run.check_place()
        self.checkpoints = Checkpoints(self._run.checkpoints, config.training.keep_checkpoints)
        self._images = open_images(self._run, config)
        self.machine = make_machine(config.model.machine, self._images[0].pixels.shape[-1])
        self._observers = Observers(OBSERVERS, config)
        self.jobs = make_jobs(self._images, config.seed, config.num_seeds)

    @contextlib.contextmanager
    def writing(self, params: Any, name: str | None = None) -> Iterator[None]:
        """Starts the run; within, `log` and `measure` may be called.

        Args:
          params: of one of its machines, to be described.
          name: marks its lines in the log.

        Raises:
          Busy: another process trains there.
        """
        with self._run.lock():
            start_run(self._run, self.config, self._images)
            from dfm_flax.training.writers import describe, open_writers

            with contextlib.closing(self.checkpoints), open_writers(self.folder, name) as writers:
                self._writer, self._tensorboard = writers
                describe(self._tensorboard, self.config, params, layout(self._observers.charts))
                yield

    def log(self, progress: Progress, part: slice, weights: int) -> None:
        """Writes what the loop tells of this run's machines, of `weights` weights each.

        Args:
          part: which of all machines they are.
        """
        num_steps = self.config.training.num_steps
        learning_rate = make_schedule(self.config.optimizer, num_steps)
        metrics = {name: values[part] for name, values in progress.metrics.items()}
        psnrs = [psnr_of_loss(error) for error in metrics["mse"]]
        pixels = len(self.jobs) * self.config.training.batch_size
        self._tensorboard.write_scalars(
            progress.step,
            {f"psnr/{job.name}": psnr for job, psnr in zip(self.jobs, psnrs, strict=True)}
            | {f"{AT_A_GLANCE}psnr": float(np.mean(psnrs))}
            | performance(progress, pixels, OPERATIONS * weights * pixels),
        )
        scalars = {
            **{name: float(np.mean(values)) for name, values in metrics.items()},
            "psnr": float(np.mean(psnrs)),
            "learning_rate": float(learning_rate(progress.step - 1)),
            "steps_per_second": progress.steps_per_second,
            "minutes_left": (num_steps - progress.step) / progress.steps_per_second / 60,
        }
        self._writer.write_scalars(progress.step, scalars)

    def observe(self, progress: Progress, part: slice) -> None:
        """Lets the observers look, if they are due, at the part of all machines that is its own."""
        if self._observers.due(progress.step):
            state = first_replica(progress.state.replace(opt_state=())).machines(part)
            seen = self._observers(MachinesSnapshot(self.machine, self.jobs, state))
            write_observation(self._tensorboard, progress.step, seen)

    def measure(self, state: TrainState, history: History) -> list[dict[str, Any]]:
        """Writes the results, of this run's machines and their curves; see `results.measure`."""
        num_steps, results = int(state.step), []
        bar = tqdm(self.jobs, "measuring", unit="machine", delay=2, leave=False, disable=None)
        for i, job in enumerate(bar):
            curve = [(step, psnr_of_loss(losses[i])) for step, losses in history]
            params = state.params_of(i)
            entry, picture = measure(self._run, self.machine, job, params, curve, num_steps)
            results.append(entry)
            self._tensorboard.write_images(num_steps, {f"figures/{job.name}": picture[None]})
        self._run.write_results(results)
        return results
