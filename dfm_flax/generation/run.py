"""A run of generation while it is trained: its images, and what goes into its folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from dfm_flax import cluster
from dfm_flax.data.image_sets import absolute_place
from dfm_flax.generation.generator import make_generator
from dfm_flax.generation.learning_rates import make_learning_rates, make_table_optimizer
from dfm_flax.generation.observer import OBSERVERS, GeneratorSnapshot
from dfm_flax.generation.training_images import TrainingImages, open_training_images
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.runs import Run
from dfm_flax.tasks import task_of
from dfm_flax.training.charts import layout
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.loop import Progress
from dfm_flax.training.observer import AT_A_GLANCE, Observers, write_observation
from dfm_flax.training.performance import OPERATIONS, performance
from dfm_flax.training.state import TrainState, num_parameters

_MEASURED = 10_000  # images that the final reconstruction error is measured on


class GenerationRun:
    """One run. Nothing is written at first.

    Attributes:
      config, folder: of the run.
      data: the images.
      shape: of each of them.
      model: the generator.
      checkpoints: its own.

    Raises:
      UsageError: settings or data cannot be used.
    """

    def __init__(self, config: ConfigDict, workdir: str | Path):
        task_of(config).check(config)
        self.config = config = _from_anywhere(config)
        self._run = Run(workdir)
        self.folder = self._run.folder
        if cluster.is_writer():
            self._run.check_place()
        self.checkpoints = Checkpoints(
            self._run.checkpoints,
            config.training.keep_checkpoints,
            by_all=config.training.table_placement == "sharded",
        )
        self.data = open_training_images(self._run, config)
        self.shape = self.data.shape
        self.model = make_generator(config, self.shape)
        self._learning_rates = make_learning_rates(config)
        self._table_optimizer = make_table_optimizer(config)
        self._observers = Observers(OBSERVERS, config) if cluster.is_writer() else None

    @contextlib.contextmanager
    def writing(self, params: Any) -> Iterator[None]:
        """Starts the run; within, `log` and `measure` may be called.

        Args:
          params: the parameters as they start, to be described.

        Raises:
          Busy: another process trains there.
        """
        with self._run.lock():
            start_run(self._run, self.config, self.data)
            from dfm_flax.training.writers import describe, open_writers

            with contextlib.closing(self.checkpoints), open_writers(self.folder) as writers:
                self._writer, self._tensorboard = writers
                self._num_products = self.model.num_products(num_parameters(params), self.shape)
                charts = self._observers.charts if self._observers is not None else {}
                describe(self._tensorboard, self.config, params, layout(charts))
                yield

    def log(self, progress: Progress) -> dict[str, str]:
        """Writes what the loop tells, and what observers see; returns what its bar shows."""
        step, training = progress.step, self.config.training
        metrics = {name: float(value) for name, value in progress.metrics.items()}
        psnr = psnr_of_loss(metrics["mse"])
        scalars = {
            **metrics,
            "psnr": psnr,
            "epoch": step * training.batch_size / self.data.num,
            **{
                f"learning_rate/{name}": float(schedule(step - 1))
                for name, schedule in self._learning_rates.items()
            },
            "steps_per_second": progress.steps_per_second,
            "minutes_left": (training.num_steps - step) / progress.steps_per_second / 60,
        }
        self._writer.write_scalars(step, scalars)
        products = training.batch_size * self._num_products
        self._tensorboard.write_scalars(
            step,
            {f"{AT_A_GLANCE}psnr": psnr}
            | performance(progress, training.batch_size, OPERATIONS * products),
        )
        if self._observers is not None and progress.whole is not None and self.looks(step):
            snapshot = self.snapshot(progress.whole)
            write_observation(self._tensorboard, step, self._observers(snapshot))
        return {"loss": f"{metrics['loss']:.4g}", "psnr": f"{psnr:.2f} dB"}

    def looks(self, step: int) -> bool:
        """Whether observers look after that step; all processes know."""
        return bool(self.config.observers) and step % self.config.observe_every == 0

    def measure(self, state: TrainState) -> dict[str, Any]:
        """Writes the result of the run.

        Returns:
          name of the model, its weights, steps and epochs, and the mse and psnr (dB) of
          reconstructions of images that it was trained on, in [0, 1].
        """
        images = self.data.images[:_MEASURED]
        snapshot = self.snapshot(state)
        drawn = snapshot.draw(snapshot.latents(len(images)))
        mse = float(np.mean((drawn - images / np.float32(255)) ** 2))
        steps = int(state.step)
        result = {
            "name": self.config.model.name,
            "weights": num_parameters(state.params),
            "steps": steps,
            "epochs": steps * self.config.training.batch_size / self.data.num,
            "mse": mse,
            "psnr": psnr_of_loss(4 * mse),
        }
        self._run.write_results([result])
        return result

    def snapshot(self, state: TrainState) -> GeneratorSnapshot:
        """The generator of a state, one replica."""
        table = None
        if self._table_optimizer is not None:
            table = self._table_optimizer.latents(state.table, state.step, self.data.looked_at)
        return GeneratorSnapshot(self.model, state.averaged_params, self.data.images, table)


def _from_anywhere(config: ConfigDict) -> ConfigDict:
    """The config with absolute paths, so that the run can be moved and used from any folder."""
    config = config.copy_and_resolve_references()
    config.data.name, config.data.data_dir = absolute_place(config.data.name, config.data.data_dir)
    return config


def start_run(run: Run, config: ConfigDict, data: TrainingImages) -> None:
    """Writes what tells a new run's images, and its config; a run that was started is left."""
    if run.started:
        run.check_same(config)
        return
    run.create()
    run.write_json("data.json", data.facts)
    run.write_config(config)
