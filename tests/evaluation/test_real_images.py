"""Tests of what generated images are measured against, with features that are easily checked."""

import numpy as np
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.evaluation.extractor import FeatureExtractor
from dfm_flax.evaluation.real_images import RealImages


def look(images):
    """Means of the rows as features, so that moving pixels along a row changes nothing."""
    rows = images.mean(axis=(2, 3))
    brightness = rows.mean(axis=1) / 255
    return rows, np.stack([brightness, 1 - brightness], axis=1)


def images_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 5, 6, 1), np.uint8)


@pytest.fixture(params=[False, True], ids=["fast", "slow"])
def real(request):
    extractor = FeatureExtractor("rows", {}, 64, look, slow=request.param)
    return RealImages(images_of(300), extractor, num=100, seed=0)


def test_others_against_the_reference_are_the_floor(real):
    others = real.images[real.others]
    assert real.floor == real.compare(real.extractor(others))
    assert real.floor["images"] == 100
    darker = real.compare(real.extractor(others // 2))
    assert darker["frechet_rows"] > 10 * real.floor["frechet_rows"]
    reference = real.compare(real.extractor(real.images[real.reference]))
    assert reference["frechet_rows"] == pytest.approx(0, abs=1e-6)


def test_features_are_looked_at_once_and_only_where_wanted():
    sizes = []

    def counted(images):
        sizes.append(len(images))
        return look(images)

    for slow, expected in ((False, 300), (True, 80)):
        sizes.clear()
        real = RealImages(images_of(300), FeatureExtractor("rows", {}, 64, counted, slow), 40, 0)
        assert real.floor["images"] == 40
        real.nearest_others  # noqa: B018
        assert sum(sizes) == expected


def test_memorized_images_are_found(real):
    copies = real.images[real.others[:7]]
    distances, neighbors = real.nearest(copies, real.extractor(copies), k=3)
    assert distances == {"pixels": 0, "features": 0}
    for near in neighbors.values():
        assert near.shape == (7, 3, 5, 6, 1)
        np.testing.assert_array_equal(near[:, 0], copies)


def test_neighbors_by_features_differ_from_those_by_pixels(real):
    mirrored = real.images[real.others[:7], :, ::-1]
    distances, neighbors = real.nearest(mirrored, real.extractor(mirrored), k=1)
    assert distances["features"] == pytest.approx(0, abs=1e-4)
    assert distances["pixels"] > 0.1
    np.testing.assert_array_equal(neighbors["features"][:, 0], mirrored[:, :, ::-1])


def test_distances_of_real_images_to_others(real):
    pixels = real.images.reshape(300, -1) / 255
    nearest = []
    for i in real.reference:
        squares = np.mean((pixels - pixels[i]) ** 2, axis=1)
        nearest.append(np.sqrt(np.delete(squares, i).min()))
    assert real.nearest_others["pixels"] == pytest.approx(np.median(nearest))


def test_few_images():
    extractor = FeatureExtractor("rows", {}, 64, look)
    assert len(RealImages(images_of(50), extractor, 10_000, 0).reference) == 25
    with pytest.raises(UsageError, match="39 training images are too few"):
        RealImages(images_of(39), extractor, 10_000, 0)
