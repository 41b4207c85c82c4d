"""Images from a trained generator: samples, interpolations and reconstructions.

What these functions return is float32 [B, H, W, C] in [0, 1].
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from numpy.typing import ArrayLike, NDArray

from dfm_flax.data.memory import check_fits
from dfm_flax.errors import UsageError, one_line
from dfm_flax.generation.drawing import draw, encode
from dfm_flax.generation.inversion import invert
from dfm_flax.generation.model import ImageShape, initial_params, make_generator
from dfm_flax.generation.priors import PRIORS, Mixture, fit_prior, standard_normal
from dfm_flax.models.generator import ImageGenerator
from dfm_flax.runs import Run
from dfm_flax.training.checkpoints import restore_parts

Images = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Generator:
    """A trained generator.

    Attributes:
      run, config: where it is from.
      step: of the checkpoint.
      model, params: decoder and encoder.
      shape: of the images that it was trained on.
      num_images: how many they were.
    """

    run: Run
    config: ConfigDict
    step: int
    model: ImageGenerator
    params: Any
    shape: ImageShape
    num_images: int

    @functools.cached_property
    def latents(self) -> NDArray[np.float32]:
        """Latents of all training images [N, L]: read from the table, or encoded."""
        if self.model.encoder is None:
            return _restore_table(self)
        return encode(self.model, self.params, self.images)

    @functools.cached_property
    def images(self) -> NDArray[np.uint8]:
        """The images that the run was trained on [N, H, W, C].

        Raises:
          UsageError: the data set is not there, or has changed.
        """
        from dfm_flax.generation.train import open_images

        return open_images(self.run, self.config)


def load_generator(workdir: str | Path) -> Generator:
    """The generator of a run, from its newest checkpoint; only its weights are read.

    Raises:
      UsageError: the folder is no run, or not one of a generator, or has no sound checkpoint.
    """
    run = Run(workdir)
    config = run.config()
    if config.get("task") != "generate":
        raise UsageError(f"{run.folder}: a run of task {config.get('task')!r}, not of a generator")
    num_images, shape = _shape(run)
    try:
        model = make_generator(config.model, shape, config.loss.get("likelihood", ""))
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
    return Generator(run, config, step, model, parts[field], shape, num_images)


def _shape(run: Run) -> tuple[int, ImageShape]:
    """How many images a run was trained on, and their shape."""
    facts = run.read_json("data.json")
    try:
        num_images, height, width, channels = map(int, facts["shape"])
    except (TypeError, ValueError, KeyError) as error:
        raise UsageError(
            f"{run.folder / 'data.json'}: does not say the shape of the images; "
            "restore it from a copy of the run"
        ) from error
    return num_images, ImageShape(height, width, channels)


def fitted_prior(generator: Generator, kind: str) -> Mixture:
    """A prior by name, fitted to the latents of all training images once and kept with the run.

    'normal' is for a variational autoencoder N(0, I), which it was trained for; for other
    models see `priors.fit_prior`.
    """
    if kind not in PRIORS:
        raise UsageError(f"--prior {kind!r} is not one of {', '.join(PRIORS)}")
    if kind == "normal" and generator.model.variational:
        return standard_normal(generator.config.model.latent_size)
    file = generator.run.folder / "priors" / f"{kind}.npz"
    prior = Mixture.load(file, generator.step)
    if prior is None:
        prior = fit_prior(kind, generator.latents)
        prior.save(file, generator.step)
    return prior


def sample(
    generator: Generator,
    num: int,
    prior: str = "gaussian",
    seed: int = 0,
    size: tuple[int, int] | None = None,
) -> Images:
    """Draws images of random latents, at (height, width) `size` or that of the training images."""
    return decode(generator, fitted_prior(generator, prior).sample(num, seed), size)


def interpolate(
    generator: Generator,
    first: int,
    second: int,
    num: int,
    size: tuple[int, int] | None = None,
) -> Images:
    """Images on the way between two training images, both included.

    The way is a great circle about the mean of the latents, with the distance from it
    changing evenly: in many dimensions a straight line passes far nearer to the mean than
    latents lie.
    """
    for index in (first, second):
        if not 0 <= index < generator.num_images:
            raise UsageError(f"image {index}: the run has images 0 to {generator.num_images - 1}")
    if num < 2:
        raise UsageError(f"{num} steps: an interpolation has at least its two ends")
    center = generator.latents.mean(axis=0)
    start, end = generator.latents[[first, second]] - center
    return decode(generator, center + great_circle(start, end, num), size)


def great_circle(first: NDArray, second: NDArray, num: int) -> NDArray:
    """`num` points [num, L] from one point to another at even angles and lengths."""
    fraction = np.linspace(0, 1, num)[:, None]
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    straight = (1 - fraction) * first + fraction * second
    if min(lengths) == 0:
        return straight
    a, b = first / lengths[0], second / lengths[1]
    angle = np.arccos(np.clip(a @ b, -1, 1))
    if np.sin(angle) < 1e-6:  # the same direction, or opposite ones: no circle, or all
        return straight
    direction = np.sin((1 - fraction) * angle) * a + np.sin(fraction * angle) * b
    return ((1 - fraction) * lengths[0] + fraction * lengths[1]) * direction / np.sin(angle)


def reconstruct(
    generator: Generator, images: ArrayLike, size: tuple[int, int] | None = None
) -> Images:
    """The model's images for any images [B, H, W, C] in [0, 1].

    Latents are the encoder's or, where a table held those of the training images, found by
    optimization under the frozen decoder.
    """
    images = np.asarray(images, np.float32)
    shape = generator.shape
    if images.shape[1:] != (shape.height, shape.width, shape.channels):
        raise UsageError(
            f"images of shape {images.shape[1:]}: the model was trained on images of "
            f"{shape.width}x{shape.height} pixels and {shape.channels} channel(s)"
        )
    if generator.model.encoder is not None:
        latents = encode(generator.model, generator.params, images)
    else:
        penalty = generator.config.loss.latent_penalty
        latents = invert(generator.model, generator.params, images, generator.latents, penalty)
    return decode(generator, latents, size)


def reconstruct_training(generator: Generator, indices: ArrayLike) -> Images:
    """The model's images for training images, from the latents that training gave them."""
    return decode(generator, generator.latents[np.asarray(indices)])


def decode(generator: Generator, latents: NDArray, size: tuple[int, int] | None = None) -> Images:
    """Images of latents [B, L]."""
    height, width = size or (generator.shape.height, generator.shape.width)
    # Twice: in pieces as they are drawn, and put together.
    num_bytes = 2 * 4 * len(latents) * height * width * generator.shape.channels
    check_fits(num_bytes, f"drawing {len(latents):,} images of {width}x{height} pixels")
    return draw(generator.model, generator.params, latents, height, width)


def _restore_table(generator: Generator) -> NDArray[np.float32]:
    shape = generator.num_images, generator.config.model.latent_size
    template = {"table": {"latents": np.zeros(shape, np.float32)}}
    return restore_parts(generator.run.checkpoints, template)[1]["table"]["latents"]
