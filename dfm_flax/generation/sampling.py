"""Images from a trained generator: samples, interpolations and reconstructions."""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Float32, Int, Int32, UInt8
from ml_collections import ConfigDict
from numpy.typing import ArrayLike

from dfm_flax.errors import DfmError, UsageError, one_line
from dfm_flax.generation.drawing import encode
from dfm_flax.generation.generator import Generator, ImageShape, initial_params, make_generator
from dfm_flax.generation.great_circle import great_circle
from dfm_flax.generation.inversion import invert
from dfm_flax.generation.learning_rates import make_table_optimizer
from dfm_flax.generation.prior import (
    ClassPrior,
    Prior,
    find_prior,
    load_prior,
    safe_name,
    save_prior,
)
from dfm_flax.generation.sampler import Images, Sampler, Size
from dfm_flax.generation.training_images import (
    TrainingImages,
    is_streamed,
    looked_at,
    open_training_images,
)
from dfm_flax.runs import Run
from dfm_flax.training.checkpoints import restore_parts
from dfm_flax.training.table import LatentTable

log = logging.getLogger(__name__)

_P = TypeVar("_P", bound=Prior)


@dataclass(frozen=True, eq=False)
class TrainedGenerator(Sampler):
    """A generator of images, trained in a run; see `Sampler`.

    Attributes:
      run: where it is from.
      step: of the checkpoint.
      num_images: how many images it was trained on.
      looked_at: the places of those that `images` and `latents` are of: all, or where they are
        streamed some, evenly spread.
    """

    run: Run
    config: ConfigDict
    step: int
    model: Generator
    params: Any
    shape: ImageShape
    num_images: int
    looked_at: Int[np.ndarray, "some"]

    def interpolate(self, first: int, second: int, num: int, size: Size | None = None) -> Images:
        """`num` images on the way between two training images, both included.

        The way is a great circle about the mean of the latents, with the distance from it
        changing evenly: in many dimensions a straight line passes far nearer to the mean than
        latents lie.

        Args:
          first: a place in the data set, from 0 on.
          second: another one.

        Raises:
          UsageError: there are no such images, or the model cannot draw that size.
        """
        for index in (first, second):
            if not 0 <= index < self.num_images:
                raise UsageError(f"image {index}: the run has images 0 to {self.num_images - 1}")
        if num < 2:
            raise UsageError(f"{num} steps: an interpolation has at least its two ends")
        center = self.latents.mean(axis=0)
        start, end = self._latents_at(np.array([first, second])) - center
        return self.decode(center + great_circle(start, end, num), size)

    def reconstruct(self, images: ArrayLike, size: Size | None = None) -> Images:
        """The model's images for any images [B, H, W, C] in [0, 1].

        Latents are the encoder's or, where a table held those of the training images, found by
        optimization under the frozen decoder.

        Raises:
          UsageError: they are not of the shape of the training images, or the model cannot draw
            that size.
        """
        images = np.asarray(images, np.float32)
        shape = self.shape
        if images.shape[1:] != (shape.height, shape.width, shape.channels):
            raise UsageError(
                f"images of shape {images.shape[1:]}: the model was trained on images of "
                f"{shape.width}x{shape.height} pixels and {shape.channels} channel(s)"
            )
        if self.model.encoder is not None:
            latents = encode(self.model, self.params, images)
        else:
            penalty = self.config.loss.get("latent_penalty", 0.0)
            latents = invert(self.model, self.params, images, self.latents, penalty)
        return self.decode(latents, size)

    def reconstruct_training(self, index: ArrayLike) -> Images:
        """The model's images for some of `images`, from the latents that training gave them."""
        return self.decode(self.latents[np.asarray(index)])

    def prior(self, name: str, label: int | None = None) -> Prior:
        """A prior by its name or import path, fitted to `latents`.

        It is fitted once and kept in the run's folder, where that can be written. Of a model
        that is trained for N(0, I), such as a variational autoencoder, 'normal' is N(0, I).

        Args:
          label: a class of the data set, from 0 on: the prior of its images alone. A
            `ClassPrior` has those of all classes in one, others are fitted to each.

        Raises:
          UsageError: there is no such prior or class, or what was kept of it is damaged.
        """
        name = self.prior_name(name)
        kind = find_prior(name)
        if not kind.needs_latents:
            if label is not None:
                raise UsageError(f"prior {name!r} is the same for all classes; use another")
            return kind.fit(np.empty((0, self.config.model.latent_size), np.float32))
        if issubclass(kind, ClassPrior):
            prior = self._kept(name, lambda: kind.fit(self.latents, labels=self._labels))
            return prior if label is None else prior.of_class(label)
        if label is None:
            return self._kept(name, lambda: kind.fit(self.latents))
        return self._kept(name, lambda: kind.fit(self._latents_of_class(label)), f"_class{label}")

    def _kept(self, name: str, fit: Callable[[], _P], part: str = "") -> _P:
        """The prior of a name in the run's folder, fitted now unless it is there."""
        file = self.run.folder / "priors" / f"{safe_name(name)}{part}.npz"
        prior: Any = load_prior(file, name, self.step)
        if prior is None:
            prior = fit()
            try:
                save_prior(file, prior, name, self.step)
            except DfmError as error:
                log.warning("prior %s is not kept, and fitted anew each time: %s", name, error)
        kept: _P = prior
        return kept

    def _latents_of_class(self, label: int) -> Float32[np.ndarray, "_of_class latent"]:
        labels = self._labels
        if labels is None:
            raise UsageError(f"class {label}: {self.config.data.name} has no classes")
        chosen = self.latents[labels == label]
        if not len(chosen):
            raise UsageError(
                f"class {label}: {self.config.data.name} has classes 0 to {labels.max()}"
            )
        return chosen

    @property
    def _labels(self) -> Int32[np.ndarray, "images"] | None:
        """The classes of `images`, where the data set has some."""
        return self._data.labels if self._data.num_classes > 1 else None

    @functools.cached_property
    def latents(self) -> Float32[np.ndarray, "images latent"]:
        """Latents of training images: read from the table, or encoded."""
        if self.model.encoder is not None:
            return encode(self.model, self.params, self.images)
        return self._latents_at(self.looked_at)

    def _latents_at(self, index: Int[np.ndarray, "some"]) -> Float32[np.ndarray, "some latent"]:
        """Latents of training images by their places in the whole set."""
        optimizer = make_table_optimizer(self.config)
        if optimizer is None:
            return encode(self.model, self.params, self._data.at(index))
        empty = LatentTable.empty(self.num_images, self.config.model.latent_size)
        template = {"table": vars(empty), "step": np.zeros((), np.int32)}
        _, parts = restore_parts(self.run.checkpoints, template)
        return optimizer.latents(LatentTable(**parts["table"]), parts["step"], index)

    @property
    def images(self) -> UInt8[np.ndarray, "images height width channels"]:
        """Images that the run was trained on.

        Raises:
          UsageError: the data set is not there, or has changed.
        """
        return self._data.images

    @functools.cached_property
    def _data(self) -> TrainingImages:
        return open_training_images(self.run, self.config)


def load_generator(workdir: str | Path) -> TrainedGenerator:
    """The generator of a run, from its newest checkpoint; only its weights are read.

    Raises:
      UsageError: the folder is no run, or not one of a generator, or has no sound checkpoint.
    """
    run = Run(workdir)
    config = run.config()
    if config.get("task") != "generation":
        raise UsageError(f"{run.folder}: a run of task {config.get('task')!r}, not of a generator")
    num_images, shape, streamed = _described(run)
    try:
        model = make_generator(config, shape)
        field = "ema" if config.optimizer.ema_decay else "params"
    except (AttributeError, KeyError, TypeError) as error:
        raise UsageError(
            f"{run.config_file}: damaged, or of another version: {one_line(error)[:200]}"
        ) from error
    abstract = jax.eval_shape(
        lambda rng: initial_params(model, rng, config.model.latent_size, shape),
        jax.random.PRNGKey(0),
    )
    template = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), abstract)
    step, parts = restore_parts(run.checkpoints, {field: template})
    seen = looked_at(num_images, streamed, shape)
    return TrainedGenerator(run, config, step, model, parts[field], shape, num_images, seen)


def _described(run: Run) -> tuple[int, ImageShape, bool]:
    """How many images a run was trained on, their shape, and whether they were streamed."""
    facts = run.read_json("data.json")
    try:
        num_images, height, width, channels = map(int, facts["shape"])
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(
            f"{run.folder / 'data.json'}: does not say the shape of the images; "
            "restore it from a copy of the run"
        ) from error
    return num_images, ImageShape(height, width, channels), is_streamed(facts)
