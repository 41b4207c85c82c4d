"""Tests of the classifier that images are measured by: what it learns, and that it is kept."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfm_flax.data.image_sets import load_image_set
from dfm_flax.data.image_source import ImageSet
from dfm_flax.errors import UsageError
from dfm_flax.evaluation import classifier_features as classifier
from dfm_flax.evaluation.classifier_features import classifier_features
from dfm_flax.metrics.generation import frechet_distance
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import DEVICES


@pytest.fixture(scope="module")
def digits():
    return load_image_set("digits", "train"), load_image_set("digits", "test")


@pytest.fixture
def recipe(monkeypatch):
    """Training of seconds."""

    def use(**changes):
        short = {"num_steps": 250, "width": 16, "num_features": 32} | changes
        monkeypatch.setattr(classifier, "RECIPE", dataclasses.replace(classifier.RECIPE, **short))

    use()
    return use


@pytest.mark.slow
def test_trained_once_and_kept(digits, recipe, tmp_path, monkeypatch):
    train, test = digits
    extractor = classifier_features(train, test, tmp_path / "cache")
    assert extractor.about["test_accuracy"] > 0.9
    features = extractor(test.images)
    assert np.mean(features.probabilities.argmax(axis=1) == test.labels) == pytest.approx(
        extractor.about["test_accuracy"]
    )
    np.testing.assert_allclose(features.probabilities.sum(axis=1), 1, atol=1e-5)
    assert (features.activations.std(axis=0) > 0).all()  # no dead units

    # Worse images are further away.
    half = len(train.images) // 2
    rng = np.random.default_rng(0)
    real = extractor(train.images[:half]).activations
    noisy = [
        np.clip(train.images[half:] + rng.normal(0, deviation, train.images[half:].shape), 0, 255)
        for deviation in (0, 20, 40, 80)
    ]
    distances = [
        frechet_distance(real, extractor(images.astype(np.uint8)).activations) for images in noisy
    ]
    assert distances == sorted(distances)

    # Training is determined by the seed; another place gets the same weights.
    again = classifier_features(train, test, tmp_path / "elsewhere")
    assert again.about == extractor.about

    # The second time nothing is trained, and the features are the same bits.
    monkeypatch.setattr(classifier, "_train", lambda train: pytest.fail("trained again"))
    cached = classifier_features(train, test, tmp_path / "cache")
    assert cached.about == extractor.about
    np.testing.assert_array_equal(cached(test.images).activations, features.activations)


@pytest.fixture
def stored(digits, recipe, tmp_path, monkeypatch):
    """A cache with weights as they start."""

    def untrained(train):
        model = classifier._model(train.num_classes)
        params = jax.jit(model.init)(jax.random.PRNGKey(0), train.images[:1])["params"]
        return jax.tree.map(np.asarray, params)

    monkeypatch.setattr(classifier, "_train", untrained)
    classifier_features(*digits, tmp_path)
    (file,) = tmp_path.iterdir()
    return file


def test_weights_and_features_are_those_of_float32_on_every_device(digits, recipe, precisions):
    train, _ = digits
    model, optimizer = classifier._model(train.num_classes), optax.adam(1e-3)
    params = jax.jit(model.init)(jax.random.PRNGKey(0), train.images[:1])["params"]
    looked = precisions(lambda x: classifier._apply(model, params, x), train.images[:3])
    state = TrainState.create(jax.random.PRNGKey(1), params, optimizer)
    feed = classifier._LabeledFeed(jnp.asarray(train.images[:9]), jnp.asarray(train.labels[:9]))
    step = classifier._make_step(model, optimizer)
    trained = precisions(lambda _: step(state, feed), np.zeros(1), axis_env=[(DEVICES, 1)])
    assert looked == trained == {"HIGHEST"}


def test_other_data_or_recipe_is_another_file(digits, recipe, stored, tmp_path):
    train, test = digits
    assert stored.name.startswith("classifier_digits_")
    changed = train.images.copy()
    changed[3, 2, 2] ^= 1
    classifier_features(dataclasses.replace(train, images=changed), test, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    recipe(num_steps=251)
    classifier_features(train, test, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "other"])
def test_damaged_cache(digits, stored, tmp_path, damage):
    content = bytearray(stored.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    if damage == "empty":
        content = bytearray()
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    stored.write_bytes(content)
    if damage == "other":
        with stored.open("wb") as stream:
            np.savez(stream, something=1)
    with pytest.raises(UsageError, match="delete it to train it again"):
        classifier_features(*digits, tmp_path)


def test_images_without_classes(tmp_path):
    images = ImageSet("folder:x", np.zeros((4, 8, 8, 1), np.uint8), np.zeros(4, np.int32), 1)
    with pytest.raises(UsageError, match="no classes"):
        classifier_features(images, images, tmp_path)


def test_shifted_images_are_parts_of_themselves():
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), np.uint8)
    feed = classifier._LabeledFeed(jnp.asarray(images), jnp.arange(20))
    drawn = feed.draw(jax.random.PRNGKey(0), 0)
    shifted = np.asarray(feed.at(drawn).images)
    images = images[np.asarray(drawn.index)]
    offsets = set()
    for image, moved in zip(images, shifted, strict=True):
        padded = np.pad(image, [(2, 2), (2, 2), (0, 0)], mode="edge")
        found = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(padded[i : i + 28, j : j + 28], moved)
        ]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 5


def test_a_cache_that_cannot_be_written_is_told_and_costs_nothing(
    digits, recipe, monkeypatch, caplog
):
    train, test = digits
    params = {"a": {"kernel": np.ones(3, np.float32)}}
    monkeypatch.setattr(classifier, "_train", lambda train: params)
    monkeypatch.setattr(classifier, "_accuracy", lambda *args: 0.5)
    with caplog.at_level("INFO"):
        extractor = classifier_features(train, test, "/proc/none")
    assert extractor.about["test_accuracy"] == 0.5
    first, *_, last = [record.message for record in caplog.records]
    assert "and not kept: cannot write /proc/none" in first  # before it is trained
    assert last.startswith("the classifier is trained anew each time: cannot write /proc/none")
