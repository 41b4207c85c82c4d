"""How good a trained generator is: its reconstructions, samples and interpolations, measured.

All images are compared as 8 bits, as they would be stored.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dfm_flax.data.image_sets import ImageSet, load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.evaluation.classifier_features import DEFAULT_CACHE, classifier_features
from dfm_flax.evaluation.extractor import FeatureExtractor, Features
from dfm_flax.evaluation.inception import inception_features
from dfm_flax.evaluation.measures import MIN_IMAGES
from dfm_flax.evaluation.real_images import Images, RealImages
from dfm_flax.figures.neighbors import neighbors_figure
from dfm_flax.files import atomic_path
from dfm_flax.generation import sampling
from dfm_flax.generation.priors import PRIORS
from dfm_flax.generation.sampling import Generator
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.runs import Run

log = logging.getLogger(__name__)

_INVERTED = 256  # held-out images whose latents are searched for: each costs hundreds of steps
_SHOWN, _NEIGHBORS = 10, 5  # samples in a picture, and neighbors of each


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
      num: images of each set; at most half of the training images are used.
      priors: that samples are drawn from.
      features: 'classifier' or 'inception', see `evaluation.extractor`.
      inception_weights: their file; None to take PyTorch's, or download them.
      cache: folder of trained classifiers.
      seed: of all draws.
    """

    num: int = 10_000
    priors: tuple[str, ...] = PRIORS
    features: str = "classifier"
    inception_weights: Path | None = None
    cache: Path = DEFAULT_CACHE
    seed: int = 0

    def __post_init__(self):
        unknown = [prior for prior in self.priors if prior not in PRIORS]
        if unknown:
            raise UsageError(f"--prior {unknown[0]!r} is not one of {', '.join(PRIORS)}")
        if self.num < MIN_IMAGES:
            raise UsageError(f"--num {self.num}: at least {MIN_IMAGES} images say something")


def evaluate(workdirs: Sequence[str | Path], options: Options) -> list[dict[str, Any]]:
    """Measures generators that were trained on the same images, one result each.

    A result holds
      settings: what it was measured with; results compare if all but the checkpoint's `step`
        is equal;
      reconstruction: mse and psnr (dB) of 'training' images and, if a test split was held
        out, 'held_out' ones;
      sets: what `evaluation.measures.compare` says of each set of images against as many
        training images: 'real' ones (others than those: the floor of all numbers),
        'reconstructions' of those others, 'interpolations' half-way between pairs of them,
        and samples_PRIOR;
      nearest: median distance to the nearest training image, of samples and of real images (to
        another), by 'pixels' (root mean square, of intensities in [0, 1]) and by 'features'.

    Each is written into evaluation.json of its run, under the name of the features, with
    figures/neighbors_PRIOR_FEATURES.png. A run whose evaluation.json has the same settings
    is not measured again.

    Raises:
      UsageError: a folder is no run of a generator, runs are on different images, or the
        features cannot be had.
    """
    generators = [sampling.load_generator(workdir) for workdir in workdirs]
    _check_same_images([generator.run for generator in generators])
    extractor = _extractor(generators[0], options)
    real = RealImages(generators[0].images, extractor, options.num, options.seed)
    results = []
    while generators:  # one after the other is let go: each may hold all images and latents
        results.append(_evaluate_once(generators.pop(0), real, options))
    return results


def _check_same_images(runs: list[Run]) -> None:
    for run in runs[1:]:
        if run.read_json("data.json") != runs[0].read_json("data.json"):
            raise UsageError(
                f"{runs[0].folder} and {run.folder} were trained on different images; "
                "their numbers do not compare, evaluate each alone"
            )


def _extractor(generator: Generator, options: Options) -> FeatureExtractor:
    if options.features == "inception":
        return inception_features(options.inception_weights)
    if options.features != "classifier":
        raise UsageError(f"--features {options.features!r} is not one of classifier, inception")
    if options.inception_weights is not None:
        raise UsageError("--inception-weights goes with --features inception")
    try:
        train, test = (_split(generator, split) for split in ("train", "test"))
    except UsageError as error:
        raise UsageError(
            f"{error} (the classifier needs the splits train and test; --features inception "
            "does not)"
        ) from error
    return classifier_features(train, test, options.cache)


def _evaluate_once(generator: Generator, real: RealImages, options: Options) -> dict[str, Any]:
    """The stored result of a run if it has the same settings, or a new one, which is stored."""
    file, name = generator.run.folder / "evaluation.json", real.extractor.name
    settings = {
        "features": real.extractor.about,
        "data": dict(generator.config.data) | generator.run.read_json("data.json"),
        "step": generator.step,
        "num": len(real.reference),
        "priors": list(options.priors),
        "seed": options.seed,
    }
    results = _stored(file)
    if results.get(name, {}).get("settings") == settings:
        log.info("%s: measured before with the same settings", file)
        return results[name]
    results[name] = {"settings": settings, **_evaluate(generator, real, options)}
    with atomic_path(file) as path:
        path.write_text(json.dumps(results, indent=2) + "\n")
    return results[name]


def _stored(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{file}: cannot be read, delete it: {error}") from error


def _evaluate(generator: Generator, real: RealImages, options: Options) -> dict[str, Any]:
    reconstruction, sets = {}, {"real": real.floor}
    nearest = {by: {"real": distance} for by, distance in real.nearest_others.items()}
    with tqdm(total=3 + len(options.priors), desc=generator.run.folder.name) as bar:
        for name, generate in _generated_sets(generator, real, options).items():
            bar.set_postfix_str(name)
            images = _eight_bits(generate())
            features = real.extractor(images, name)
            sets[name] = real.compare(features)
            if name == "reconstructions":
                reconstruction["training"] = _distortion(images, real.images[real.others])
            if name.startswith("samples_"):
                distances = _draw_neighbors(generator, real, name, images, features)
                for by, distance in distances.items():
                    nearest[by][name] = distance
            bar.update()
        bar.set_postfix_str("held-out images")
        held_out = _held_out(generator, options.num)
        if held_out is not None:
            drawn = sampling.reconstruct(generator, held_out / np.float32(255))
            reconstruction["held_out"] = _distortion(_eight_bits(drawn), held_out)
        bar.update()
    return {"reconstruction": reconstruction, "sets": sets, "nearest": nearest}


def _generated_sets(
    generator: Generator, real: RealImages, options: Options
) -> dict[str, Callable[[], NDArray[np.float32]]]:
    """What gives each set of generated images, as many as the other real ones."""
    others = real.others
    sets: dict[str, Callable[[], NDArray[np.float32]]] = {
        "reconstructions": partial(sampling.reconstruct_training, generator, others),
        # The order is random, so neighbors in it are random pairs.
        "interpolations": partial(_midpoints, generator, others, np.roll(others, 1)),
    }
    for prior in options.priors:
        sets[f"samples_{prior}"] = partial(
            sampling.sample, generator, len(others), prior, options.seed
        )
    return sets


def _midpoints(generator: Generator, first: NDArray, second: NDArray) -> NDArray[np.float32]:
    """Images half-way between pairs of training images, on the way of `sampling.interpolate`."""
    center = generator.latents.mean(axis=0)
    pairs = zip(generator.latents[first] - center, generator.latents[second] - center, strict=True)
    middle = np.stack([sampling.great_circle(a, b, 3)[1] for a, b in pairs])
    return sampling.decode(generator, center + middle)


def _held_out(generator: Generator, num: int) -> Images | None:
    data = generator.config.data
    if not data.split.startswith("train"):
        return None
    if generator.model.encoder is None:
        num = min(num, _INVERTED)
    try:
        return _split(generator, "test").images[:num]
    except UsageError as error:  # all else is measured by now
        log.warning("no error of held-out images: %s", error)
        return None


def _split(generator: Generator, split: str) -> ImageSet:
    return load_image_set(**{**generator.config.data, "split": split})


def _distortion(drawn: Images, originals: Images) -> dict[str, Any]:
    squares = (drawn.astype(np.float32) - originals) ** 2
    error = float(np.mean(squares, dtype=np.float64)) / 255**2
    # JSON has no infinity.
    return {"images": len(drawn), "mse": error, "psnr": psnr_of_loss(4 * error) if error else None}


def _draw_neighbors(
    generator: Generator, real: RealImages, name: str, images: Images, features: Features
) -> dict[str, float]:
    """Draws samples beside their neighbors; returns how far the nearest are."""
    distances, neighbors = real.nearest(images, features, _NEIGHBORS)
    prior = name.removeprefix("samples_")
    searched = {"pixels": len(real.images), "features": len(real.looked_at)}
    neighbors_figure(
        generator.run.folder / "figures" / f"neighbors_{prior}_{real.extractor.name}.png",
        images[:_SHOWN],
        {
            f"nearest of {searched[by]:,} training images by {by}": near[:_SHOWN]
            for by, near in neighbors.items()
        },
        title=f"{generator.run.folder.name}, samples of the prior '{prior}'",
    )
    return distances


def _eight_bits(images: NDArray[np.float32]) -> Images:
    return np.rint(255 * images).astype(np.uint8)
