import math

import numpy as np
import pytest

from dfm_flax.codec.container import file_size, from_bytes, to_bytes
from dfm_flax.codec.pyramid import encoder
from dfm_flax.codec.pyramid.encoder import MIN_BYTES, reaching, within
from dfm_flax.codec.pyramid.rounding import Rounding
from dfm_flax.codec.pyramid.training import Trained
from dfm_flax.errors import UsageError
from dfm_flax.metrics.distortion import psnr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "num_bytes"),
    [({}, 400), ({"channels": 1, "levels": 65535}, MIN_BYTES), ({"height": 1, "width": 1}, 200)],
)
def test_files_within_a_size(shape, num_bytes, photo, tmp_path):
    image = photo(**shape)
    data = to_bytes(within(image, num_bytes, 30, tmp_path / "a"))
    assert len(data) <= num_bytes
    coded = from_bytes(data)
    assert (*coded.decoded().shape, coded.levels) == (*image.pixels.shape, image.levels)
    flat = psnr(image.pixels, np.broadcast_to(image.pixels.mean((0, 1)), image.pixels.shape))
    if num_bytes > MIN_BYTES and image.pixels.size > 3:
        assert psnr(image.pixels, coded.decoded()) > flat + 2
        # The same seed makes the same file.
        assert to_bytes(within(image, num_bytes, 30, tmp_path / "b")) == data
        assert to_bytes(within(image, num_bytes, 30, tmp_path / "b", seed=1)) != data


class Untrained(Rounding):
    """Stands for the roundings of a trained machine: each lambda has its image."""

    def __init__(self, trade_off, coded):
        self.trained = Trained({"bias": np.zeros(3, np.float32)}, (), trade_off)
        self.coded = coded

    def best(self, worth=1.0):
        return self.coded


class Trainings(list):
    """Lambda of each training."""

    def __init__(self):
        self.steps, self.alike = [], False


@pytest.fixture
def trainings(pyramid_image, monkeypatch):
    """Nothing is trained: the larger lambda, the fewer numbers; returns each one's lambda.

    `trainings.steps` has the steps of each, and with `trainings.alike` nothing depends on lambda.
    """

    done = Trainings()

    def train(self, start, trade_off, target, num_steps, grids):
        done.append(trade_off)
        done.steps.append(num_steps)
        spread = 1.0 if done.alike else math.sqrt(done[0] / trade_off)
        return Untrained(trade_off, pyramid_image(spread=spread))

    monkeypatch.setattr(encoder._Training, "_train", train)
    return done


@pytest.mark.parametrize("share", [0.8, 1.0, 1.1])
def test_lambda_is_corrected_until_the_size_is_used(
    trainings, share, photo, tmp_path, pyramid_image
):
    num_bytes = share * file_size(pyramid_image())
    coded = within(photo(11, 18), num_bytes, 1000, tmp_path)
    assert 0.85 * num_bytes <= file_size(coded) <= num_bytes
    assert trainings.steps == [1000] + [120] * (len(trainings) - 1)
    assert len(trainings) <= 1 + encoder._CORRECTIONS
    if share == 1:
        assert len(trainings) == 1
    else:
        assert (trainings[1] > trainings[0]) == (share < 1)


def test_a_file_that_stays_too_large_is_thinned(trainings, photo, tmp_path, pyramid_image):
    trainings.alike = True
    num_bytes = file_size(pyramid_image()) - 40
    coded = within(photo(11, 18), num_bytes, 10, tmp_path)
    assert num_bytes - 12 <= file_size(coded) <= num_bytes


def test_a_file_that_is_too_small_is_told(trainings, photo, tmp_path):
    """After corrections none of which is wild."""
    trainings.alike = True
    with pytest.raises(UsageError, match="image photo: no file is that small"):
        within(photo(11, 18), MIN_BYTES, 10, tmp_path)
    np.testing.assert_allclose(np.diff(np.log2(trainings)), 1)
    assert trainings.steps == [10] + [20] * encoder._CORRECTIONS


def test_a_quality_is_reached_by_the_smallest(trainings, photo, tmp_path, pyramid_image):
    image = photo(11, 18)
    quality = psnr(image.pixels, pyramid_image().decoded()) - 0.05
    coded = reaching(image, quality, 10, tmp_path)
    assert len(trainings) == 1
    assert quality <= psnr(image.pixels, coded.decoded())


def test_a_quality_that_is_not_reached_has_the_best(trainings, photo, tmp_path):
    image = photo(11, 18)
    coded = reaching(image, 60.0, 10, tmp_path)
    np.testing.assert_allclose(np.diff(np.log2(trainings)), -1)  # a bit is worth less and less
    assert len(trainings) == 1 + encoder._CORRECTIONS
    assert 0 < psnr(image.pixels, coded.decoded()) < 60
