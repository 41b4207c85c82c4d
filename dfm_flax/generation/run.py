"""A run of generation while it is trained: its images, and what goes into its folder."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from dfm_flax import cluster
from dfm_flax.data.image_sets import ImageSet, absolute_place, load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.generation.generator import ImageShape, make_generator
from dfm_flax.generation.learning_rates import make_learning_rates, make_table_optimizer
from dfm_flax.generation.observer import OBSERVERS, GeneratorSnapshot
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.runs import Run
from dfm_flax.tasks import task_of
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.loop import Progress
from dfm_flax.training.observer import Observers, write_observation
from dfm_flax.training.performance import OPERATIONS, performance
from dfm_flax.training.state import TrainState, num_parameters
from dfm_flax.training.step import first_replica

Images = UInt8[np.ndarray, "images height width channels"]

_MEASURED = 10_000  # images that the final reconstruction error is measured on


class GenerationRun:
    """One run. Nothing is written at first.

    Attributes:
      config, folder: of the run.
      images: of the data set; each process reads a part of them.
      shape: of an image.
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
        self.checkpoints = Checkpoints(self._run.checkpoints, config.training.keep_checkpoints)
        self.images = open_image_set(self._run, config).images
        self.shape = ImageShape(*self.images.shape[1:])
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
            start_run(self._run, self.config, self.images)
            from dfm_flax.training.writers import describe, open_writers

            with contextlib.closing(self.checkpoints), open_writers(self.folder) as writers:
                self._writer, self._tensorboard = writers
                self._num_products = self.model.num_products(num_parameters(params), self.shape)
                describe(self._tensorboard, self.config, params)
                yield

    def log(self, progress: Progress) -> dict[str, str]:
        """Writes what the loop tells, and what observers see; returns what its bar shows."""
        step, training = progress.step, self.config.training
        metrics = {name: float(value) for name, value in progress.metrics.items()}
        psnr = psnr_of_loss(metrics["mse"])
        scalars = {
            **metrics,
            "psnr": psnr,
            "epoch": step * training.batch_size / len(self.images),
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
            step, performance(progress, training.batch_size, OPERATIONS * products)
        )
        if self._observers is not None and self._observers.due(step):
            # Without the optimizer's state, which is the larger part, and not looked at.
            snapshot = self.snapshot(first_replica(progress.state.replace(opt_state=())))
            write_observation(self._tensorboard, step, self._observers(snapshot))
        return {"loss": f"{metrics['loss']:.4g}", "psnr": f"{psnr:.2f} dB"}

    def measure(self, state: TrainState) -> dict[str, Any]:
        """Writes the result of the run.

        Returns:
          name of the model, its weights, steps and epochs, and the mse and psnr (dB) of
          reconstructions of images that it was trained on, in [0, 1].
        """
        count = min(_MEASURED, len(self.images))
        snapshot = self.snapshot(state)
        drawn = snapshot.draw(snapshot.latents(count))
        mse = float(np.mean((drawn - self.images[:count] / np.float32(255)) ** 2))
        steps = int(state.step)
        result = {
            "name": self.config.model.name,
            "weights": num_parameters(state.params),
            "steps": steps,
            "epochs": steps * self.config.training.batch_size / len(self.images),
            "mse": mse,
            "psnr": psnr_of_loss(4 * mse),
        }
        self._run.write_results([result])
        return result

    def snapshot(self, state: TrainState) -> GeneratorSnapshot:
        """The generator of a state, one replica."""
        table = None
        if self._table_optimizer is not None:
            table = self._table_optimizer.latents(state.table, state.step, len(self.images))
        return GeneratorSnapshot(self.model, state.averaged_params, self.images, table)


def _from_anywhere(config: ConfigDict) -> ConfigDict:
    """The config with absolute paths, so that the run can be moved and used from any folder."""
    config = config.copy_and_resolve_references()
    config.data.name, config.data.data_dir = absolute_place(config.data.name, config.data.data_dir)
    return config


def open_image_set(run: Run, config: ConfigDict) -> ImageSet:
    """A config's data set. Each process reads a part of it.

    Raises:
      UsageError: the run was started with another config, or with other images.
    """
    if run.started:
        run.check_same(config)
    part = load_image_set(**config.data, part=cluster.place())
    images, labels = cluster.joined_rows(part.images), cluster.joined_rows(part.labels)
    if run.started and run.read_json("data.json") != _facts(images):
        raise UsageError(
            f"{run.folder} was started with other images than {config.data.name} has now; "
            "restore them, or use another --workdir"
        )
    return replace(part, images=images, labels=labels)


def start_run(run: Run, config: ConfigDict, images: Images) -> None:
    """Writes what tells a new run's images, and its config; a run that was started is left."""
    if run.started:
        run.check_same(config)
        return
    run.create()
    run.write_json("data.json", _facts(images))
    run.write_config(config)


def _facts(images: Images) -> dict[str, Any]:
    return {"shape": list(images.shape), "sha256": hashlib.sha256(images.tobytes()).hexdigest()}
