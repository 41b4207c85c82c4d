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
from jaxtyping import Float32, Int
from tqdm import tqdm

from dfm_flax.data.feed_choice import load_looked_at, place
from dfm_flax.data.image_source import ImageSet
from dfm_flax.errors import UsageError
from dfm_flax.evaluation.classifier_features import DEFAULT_CACHE, classifier_features
from dfm_flax.evaluation.efficientnet import efficientnet_features
from dfm_flax.evaluation.extractor import FeatureExtractor, Images
from dfm_flax.evaluation.inception import inception_features
from dfm_flax.evaluation.real_images import Neighbors, RealImages
from dfm_flax.evaluation.set_metrics import MIN_IMAGES
from dfm_flax.figures.attempts import told_if_not_drawn
from dfm_flax.files import atomic_path, check_writable
from dfm_flax.generation.great_circle import great_circle
from dfm_flax.generation.prior import find_prior, safe_name
from dfm_flax.generation.sampling import TrainedGenerator, load_generator
from dfm_flax.metrics.distortion import psnr_of_loss
from dfm_flax.runs import Run

log = logging.getLogger(__name__)

_Drawn = Float32[np.ndarray, "images height width channels"]  # in [0, 1]

FEATURES = ("classifier", "efficientnet", "inception")  # networks to measure by

_INVERTED = 256  # held-out images whose latents are searched for: each costs hundreds of steps
_SHOWN, _NEIGHBORS = 10, 5  # samples in a picture, and neighbors of each


@dataclass(frozen=True, eq=False)
class _Picture:
    """Samples of a prior, and their nearest training images by caption."""

    prior: str
    images: Images
    neighbors: dict[str, Neighbors]


def evaluate(
    workdirs: str | Path | Sequence[str | Path],
    *,
    num: int = 10_000,
    priors: Sequence[str] = ("normal", "gaussian", "gmm"),
    features: str = "classifier",
    inception_weights: str | Path | None = None,
    cache: str | Path = DEFAULT_CACHE,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Measures generators that were trained on the same images, one result each.

    A result holds
      settings: what it was measured with; results compare if all but the checkpoint's `step`
        is equal;
      reconstruction: mse and psnr (dB) of 'training' images and, if a test split was held
        out, 'held_out' ones;
      sets: the metrics of `evaluation.set_metrics.compare` of each set of images against as
        many training images: 'real' ones (others than those: the floor of all numbers),
        'reconstructions' of those others, 'interpolations' half-way between pairs of them,
        and samples_PRIOR;
      nearest: median distance to the nearest training image, of samples and of real images (to
        another), by 'pixels' (root mean square, of intensities in [0, 1]) and by 'features'.

    Each is written into evaluation.json of its run, under the name of the features, and then
    figures/neighbors_PRIOR_FEATURES.png. A run whose evaluation.json has the same settings
    is not measured again.

    Args:
      workdirs: the folder of a run, or those of several.
      num: images of each set; at most half of the training images are used.
      priors: what samples are drawn from, see `TrainedGenerator.prior`.
      features: one of `FEATURES`.
      inception_weights: their file; None to take PyTorch's, or download them.
      cache: folder of trained classifiers.
      seed: of all draws.

    Raises:
      UsageError: a folder is no run of a generator, runs are on different images, or the
        features or a prior cannot be had.
    """
    for prior in priors:
        find_prior(prior)
    if num < MIN_IMAGES:
        raise UsageError(f"--num {num}: at least {MIN_IMAGES} images say something")
    folders = [workdirs] if isinstance(workdirs, str | Path) else workdirs
    generators = [load_generator(folder) for folder in folders]
    for generator in generators:  # what is measured shall not be lost
        file = generator.run.folder / "evaluation.json"
        if features not in _stored(file):
            check_writable(file)
    _check_same_images([generator.run for generator in generators])
    extractor = _extractor(generators[0], features, inception_weights, cache)
    real = RealImages(generators[0].images, extractor, num, seed)
    results = []
    while generators:  # one after the other is let go: each may hold all images and latents
        results.append(_evaluate_once(generators.pop(0), real, priors, num))
    return results


def _check_same_images(runs: list[Run]) -> None:
    for run in runs[1:]:
        if run.read_json("data.json") != runs[0].read_json("data.json"):
            raise UsageError(
                f"{runs[0].folder} and {run.folder} were trained on different images; "
                "their numbers do not compare, evaluate each alone"
            )


def _extractor(
    generator: TrainedGenerator,
    features: str,
    inception_weights: str | Path | None,
    cache: str | Path,
) -> FeatureExtractor:
    if features not in FEATURES:
        raise UsageError(f"--features {features!r} is not one of {', '.join(FEATURES)}")
    if features == "inception":
        return inception_features(inception_weights)
    if inception_weights is not None:
        raise UsageError("--inception-weights goes with --features inception")
    if features == "efficientnet":
        return efficientnet_features()
    try:
        train, test = (_split(generator, split) for split in ("train", "test"))
    except UsageError as error:
        raise UsageError(
            f"{error} (the classifier needs the splits train and test; --features efficientnet "
            "and inception do not)"
        ) from error
    return classifier_features(train, test, cache)


def _evaluate_once(
    generator: TrainedGenerator, real: RealImages, priors: Sequence[str], num: int
) -> dict[str, Any]:
    """The stored result of a run if it has the same settings, or a new one, which is stored."""
    file, name = generator.run.folder / "evaluation.json", real.extractor.name
    settings = {
        "features": real.extractor.about,
        "data": place(generator.config.data) | generator.run.read_json("data.json"),
        "step": generator.step,
        "num": len(real.reference),
        "priors": list(priors),
        "seed": real.seed,
    }
    results = _stored(file)
    if results.get(name, {}).get("settings") == settings:
        log.info("%s: measured before with the same settings", file)
        return results[name]
    check_writable(file)
    metrics, pictures = _evaluate(generator, real, priors, num)
    results[name] = {"settings": settings, **metrics}
    with atomic_path(file) as path:
        path.write_text(json.dumps(results, indent=2) + "\n")
    for picture in pictures:
        _draw(generator.run.folder, picture, name)
    return results[name]


def _stored(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{file}: cannot be read, delete it: {error}") from error


def _evaluate(
    generator: TrainedGenerator, real: RealImages, priors: Sequence[str], num: int
) -> tuple[dict[str, Any], list[_Picture]]:
    """The metrics of a generator, and pictures to draw."""
    reconstruction, sets, pictures = {}, {"real": real.floor}, []
    nearest = {by: {"real": distance} for by, distance in real.nearest_others.items()}
    with tqdm(total=3 + len(priors), desc=generator.run.folder.name, disable=None) as bar:
        for name, generate in _generated_sets(generator, real).items():
            bar.set_postfix_str(name)
            images = _eight_bits(generate())
            sets[name] = real.compare(real.extractor(images, name))
            if name == "reconstructions":
                reconstruction["training"] = _distortion(images, real.images[real.others])
            bar.update()
        for prior in priors:
            name = f"samples_{prior}"
            bar.set_postfix_str(name)
            images = _eight_bits(generator.sample(len(real.others), prior, real.seed))
            features = real.extractor(images, name)
            sets[name] = real.compare(features)
            distances, neighbors = real.nearest(images, features, _NEIGHBORS)
            for by, distance in distances.items():
                nearest[by][name] = distance
            pictures.append(_picture(real, prior, images, neighbors))
            bar.update()
        bar.set_postfix_str("held-out images")
        held_out = _held_out(generator, num)
        if held_out is not None:
            drawn = generator.reconstruct(held_out / np.float32(255))
            reconstruction["held_out"] = _distortion(_eight_bits(drawn), held_out)
        bar.update()
    return {"reconstruction": reconstruction, "sets": sets, "nearest": nearest}, pictures


def _generated_sets(
    generator: TrainedGenerator, real: RealImages
) -> dict[str, Callable[[], _Drawn]]:
    """What gives each set of images made of training images, as many as the other real ones."""
    others = real.others
    return {
        "reconstructions": partial(generator.reconstruct_training, others),
        # The order is random, so neighbors in it are random pairs.
        "interpolations": partial(_midpoints, generator, others, np.roll(others, 1)),
    }


def _midpoints(
    generator: TrainedGenerator, first: Int[np.ndarray, "pairs"], second: Int[np.ndarray, "pairs"]
) -> _Drawn:
    """Images half-way between pairs of training images, on the way of an interpolation."""
    center = generator.latents.mean(axis=0)
    pairs = zip(generator.latents[first] - center, generator.latents[second] - center, strict=True)
    middle = np.stack([great_circle(a, b, 3)[1] for a, b in pairs])
    return generator.decode(center + middle)


def _held_out(generator: TrainedGenerator, num: int) -> Images | None:
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


def _split(generator: TrainedGenerator, split: str) -> ImageSet:
    return load_looked_at(generator.config.data, split)


def _distortion(drawn: Images, originals: Images) -> dict[str, Any]:
    squares = (drawn.astype(np.float32) - originals) ** 2
    error = float(np.mean(squares, dtype=np.float64)) / 255**2
    # JSON has no infinity.
    return {"images": len(drawn), "mse": error, "psnr": psnr_of_loss(4 * error) if error else None}


def _picture(
    real: RealImages, prior: str, images: Images, neighbors: dict[str, Neighbors]
) -> _Picture:
    searched = {"pixels": len(real.images), "features": len(real.looked_at)}
    shown = {
        # Copies, or all that is not shown would be kept as well.
        f"nearest of {searched[by]:,} training images by {by}": near[:_SHOWN].copy()
        for by, near in neighbors.items()
    }
    return _Picture(prior, images[:_SHOWN].copy(), shown)


def _draw(folder: Path, picture: _Picture, features: str) -> None:
    """Draws samples beside their neighbors; where that fails the metrics stand without it."""
    file = folder / "figures" / f"neighbors_{safe_name(picture.prior)}_{features}.png"
    title = f"{folder.name}, samples of the prior '{picture.prior}'"
    with told_if_not_drawn(file):
        from dfm_flax.figures.neighbors import neighbors_figure

        neighbors_figure(file, picture.images, picture.neighbors, title=title)


def _eight_bits(images: _Drawn) -> Images:
    return np.rint(255 * images).astype(np.uint8)
