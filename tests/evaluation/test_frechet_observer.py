import numpy as np
import pytest

from dfm_flax.data.image_sets import load_image_set
from dfm_flax.evaluation import classifier_features, frechet_observer
from dfm_flax.evaluation.extractor import FeatureExtractor
from dfm_flax.generation.observer import OBSERVERS, GeneratorSnapshot
from dfm_flax.metrics.generation import frechet_distance

IMAGES = load_image_set("digits").images


class Snapshot(GeneratorSnapshot):
    """Draws, for latents that are the pixels, the images of a data set."""

    images = IMAGES

    def __init__(self):
        """There is no model."""

    def latents(self, count):
        return IMAGES[:count].reshape(count, -1) / np.float32(255)

    def draw(self, latents):
        return np.clip(latents.reshape(-1, 8, 8, 1), 0, 1).astype(np.float32)


@pytest.fixture
def extractor(monkeypatch):
    """Features that need no training: means of rows, and of columns."""

    def look(images):
        features = np.concatenate([images.mean(axis=(1, 3)), images.mean(axis=(2, 3))], axis=1)
        return features, np.full((len(images), 10), 0.1)

    made = FeatureExtractor("classifier", {}, 500, look)
    monkeypatch.setattr(frechet_observer, "classifier_features", lambda train, test: made)
    return made


def test_the_distance_is_that_of_samples_of_a_gaussian(extractor, small):
    observer = OBSERVERS.get("frechet")(small("autoencoder"))
    (distance,) = observer(Snapshot()).metrics.values()
    rng = np.random.default_rng(1)
    pixels = IMAGES.reshape(len(IMAGES), -1) / 255
    count = len(load_image_set("digits", "train").images)
    samples = rng.multivariate_normal(pixels.mean(0), np.cov(pixels.T), count)
    drawn = np.rint(255 * np.clip(samples, 0, 1)).reshape(-1, 8, 8, 1).astype(np.uint8)
    real = extractor(load_image_set("digits", "train").images).activations
    expected = frechet_distance(real, extractor(drawn).activations)
    assert distance == pytest.approx(expected, rel=0.15)
    assert distance > 3 * frechet_distance(real[::2], real[1::2])


def test_the_classifier_is_that_of_evaluation():
    assert frechet_observer.classifier_features is classifier_features.classifier_features
