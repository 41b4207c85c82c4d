"""The classifier that a data set's images are measured by: trained once, then kept.

All runs on a data set have to be measured by the same features, or their distances cannot be
compared. So the classifier depends on nothing but the data set and the recipe here, and its
weights are kept in a cache, under a name made of both.
"""

import functools
import hashlib
import json
import logging
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float, Float32, Integer, PRNGKeyArray, UInt8
from tqdm import tqdm

from dfm_flax.data.image_source import ImageSet
from dfm_flax.errors import DfmError, UsageError
from dfm_flax.evaluation.classifier import Classifier
from dfm_flax.evaluation.extractor import FeatureExtractor
from dfm_flax.files import atomic_path, check_writable, local_path
from dfm_flax.training.losses import Loss, Metrics, Scalar
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import (
    Step,
    at_precision,
    first_replica,
    make_one_step,
    make_step,
    replicate,
)
from dfm_flax.typing import AnyArray, Count

log = logging.getLogger(__name__)

DEFAULT_CACHE = Path("~/.cache/dfm_flax")


@dataclass(frozen=True)
class Recipe:
    """How every classifier is made: its size, and its training by Adam under a cosine schedule.

    `version` is raised when the model or its training changes in what is not said here.
    """

    version: int = 1
    width: int = 32
    num_features: int = 128
    batch_size: int = 128
    num_steps: int = 2000
    learning_rate: float = 3e-3
    seed: int = 0


RECIPE = Recipe()
_SHOWN_EVERY = 50  # steps
_LOOKED_AT = 500  # images


def classifier_features(
    train: ImageSet, test: ImageSet, cache: str | Path = DEFAULT_CACHE
) -> FeatureExtractor:
    """Features of a classifier of a data set's own classes, trained now unless it is in the cache.

    Args:
      train: the images to learn from.
      test: others, for its accuracy, which stands in `about`.
      cache: folder of the weights, made where missing; where it cannot be written they are not
        kept.

    Raises:
      UsageError: the data set has no classes, or what is in the cache is damaged.
    """
    if train.num_classes < 2:
        raise UsageError(
            f"{train.name} has no classes to tell apart, so no classifier; "
            "use --features efficientnet or inception"
        )
    file = _cache_file(train, local_path(cache))
    if file.is_file():
        params, accuracy = _read(file)
    else:
        params, accuracy = _make(train, test, file)
    about = {
        "name": "classifier",
        "trained_on": train.name,
        "test_accuracy": accuracy,
        "sha256": _digest(params),
    }
    look = functools.partial(_look, _model(train.num_classes), params)
    return FeatureExtractor("classifier", about, _LOOKED_AT, look)


def _make(train: ImageSet, test: ImageSet, file: Path) -> tuple[Any, float]:
    """The weights and the accuracy of a classifier that is trained now, and kept if it can be."""
    kept = f"kept as {file}"
    try:
        check_writable(file)
    except UsageError as error:
        kept = f"and not kept: {error}"
    log.info("training the classifier of %s, %s", train.name, kept)
    params = jax.tree.map(np.asarray, _train(train))
    accuracy = _accuracy(train.num_classes, params, test)
    log.info("the classifier gets %.2f%% of %d others right", 100 * accuracy, len(test.images))
    try:
        _write(file, params, accuracy)
    except DfmError as error:
        log.warning("the classifier is trained anew each time: %s", error)
    return params, accuracy


def _model(num_classes: int) -> Classifier:
    return Classifier(num_classes, RECIPE.width, RECIPE.num_features)


def _cache_file(train: ImageSet, cache: Path) -> Path:
    sha = hashlib.sha256(json.dumps(asdict(RECIPE)).encode())
    for array in (train.images, train.labels):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    name = "".join(letter if letter.isalnum() else "_" for letter in train.name)
    return cache / f"classifier_{name}_{sha.hexdigest()[:16]}.npz"


def _train(train: ImageSet) -> Any:
    """The weights after `RECIPE`."""
    model = _model(train.num_classes)
    learning_rate = optax.cosine_decay_schedule(RECIPE.learning_rate, RECIPE.num_steps)
    optimizer = optax.adam(learning_rate)
    init_rng, step_rng = jax.random.split(jax.random.PRNGKey(RECIPE.seed))
    params = jax.jit(model.init)(init_rng, train.images[:1])["params"]
    state = replicate(TrainState.create(step_rng, params, optimizer), num_devices=1)
    feed = replicate(_LabeledFeed(train.images, train.labels), num_devices=1)
    step = make_one_step(_make_step(model, optimizer))
    with tqdm(
        total=RECIPE.num_steps, desc="training the classifier", unit="step", disable=None
    ) as bar:
        for i in range(RECIPE.num_steps):
            state, metrics = step(state, feed)
            if (i + 1) % _SHOWN_EVERY == 0:
                bar.set_postfix(loss=f"{float(metrics['loss']):.3f}", refresh=False)
                bar.update(_SHOWN_EVERY)
    return first_replica(state.params)


def _make_step(model: Classifier, optimizer: optax.GradientTransformation) -> Step:
    """In float32 on every device, as the features are."""
    return at_precision(make_step(_cross_entropy(model), optimizer), "highest")


@flax.struct.dataclass
class _LabeledBatch:
    images: UInt8[AnyArray, "batch height width channels"]
    labels: Integer[AnyArray, "batch"]


@flax.struct.dataclass
class _Drawn:
    index: Integer[AnyArray, "batch"]
    offsets: Integer[AnyArray, "batch 2"]


@flax.struct.dataclass
class _LabeledFeed:
    """Random images of a set, each moved at random by up to a 14th of a side."""

    images: UInt8[AnyArray, "*devices images height width channels"]
    labels: Integer[AnyArray, "*devices images"]

    def draw(self, rng: PRNGKeyArray, step: Count) -> _Drawn:
        draw_rng, shift_rng = jax.random.split(rng)
        index = jax.random.randint(draw_rng, (RECIPE.batch_size,), 0, len(self.images))
        most = _most_shifted(self.images.shape)
        offsets = jax.random.randint(shift_rng, (RECIPE.batch_size, 2), 0, 2 * most + 1)
        return _Drawn(index, offsets)

    def at(self, drawn: _Drawn) -> _LabeledBatch:
        images = _shifted(self.images[drawn.index], drawn.offsets)
        return _LabeledBatch(images, self.labels[drawn.index])


def _cross_entropy(model: Classifier) -> Loss:
    def loss(params: Any, batch: _LabeledBatch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        outputs: Any = model.apply({"params": params}, batch.images)
        _, logits = outputs
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        return jnp.mean(losses), {}

    return loss


def _most_shifted(shape: tuple[int, ...]) -> int:
    return max(1, min(shape[1:3]) // 14)


def _shifted(
    images: UInt8[AnyArray, "batch height width channels"], offsets: Integer[AnyArray, "batch 2"]
) -> UInt8[jax.Array, "batch height width channels"]:
    """Each image moved by its offset; its edge fills the gap."""
    most = _most_shifted(images.shape)
    padded = jnp.pad(images, [(0, 0), (most, most), (most, most), (0, 0)], mode="edge")

    def cut(
        image: UInt8[jax.Array, "_height _width channels"], offset: Integer[AnyArray, "2"]
    ) -> UInt8[jax.Array, "height width channels"]:
        return jax.lax.dynamic_slice(image, (*offset, 0), images.shape[1:])

    return jax.vmap(cut)(padded, offsets)


def _look(
    model: Classifier, params: Any, images: UInt8[np.ndarray, "batch height width channels"]
) -> tuple[Float32[np.ndarray, "batch features"], Float32[np.ndarray, "batch classes"]]:
    """Features and probabilities of up to `_LOOKED_AT` images."""
    # Batches of one size run one compiled program.
    padding = [(0, _LOOKED_AT - len(images)), (0, 0), (0, 0), (0, 0)]
    features, probabilities = _apply(model, params, np.pad(images, padding))
    return np.asarray(features)[: len(images)], np.asarray(probabilities)[: len(images)]


@functools.partial(jax.jit, static_argnums=0)
def _apply(
    model: Classifier, params: Any, images: UInt8[AnyArray, "batch height width channels"]
) -> tuple[Float[jax.Array, "batch features"], Float[jax.Array, "batch classes"]]:
    with jax.default_matmul_precision("highest"):
        outputs: Any = model.apply({"params": params}, images)
    features, logits = outputs
    return features, jax.nn.softmax(logits)


def _accuracy(num_classes: int, params: Any, test: ImageSet) -> float:
    look = functools.partial(_look, _model(num_classes), params)
    features = FeatureExtractor("classifier", {}, _LOOKED_AT, look)(test.images)
    return float(np.mean(features.probabilities.argmax(axis=1) == test.labels))


def _write(file: Path, params: Any, accuracy: float) -> None:
    arrays: dict[str, Any] = flatten_dict(params, sep="/")
    with atomic_path(file) as path:
        np.savez(path, accuracy=accuracy, digest=_digest(params), **arrays)


def _read(file: Path) -> tuple[Any, float]:
    try:
        with np.load(file) as stored:
            arrays = {name: stored[name] for name in stored.files}
        accuracy, expected = float(arrays.pop("accuracy")), str(arrays.pop("digest"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{file} is damaged ({error}); delete it to train it again") from error
    params = unflatten_dict(arrays, sep="/")
    if _digest(params) != expected:
        raise UsageError(f"{file} is damaged (digest); delete it to train it again")
    return params, accuracy


def _digest(params: Any) -> str:
    """SHA-256 of the weights. It identifies them in results: how it is made must not change."""
    sha = hashlib.sha256()
    for name, array in sorted(flatten_dict(params, sep="/").items()):
        sha.update(f"{name}{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()
