import dataclasses
import math

import numpy as np
import pytest

from dfm_flax.codec.container import file_size, from_bytes, to_bytes
from dfm_flax.codec.pyramid import encoder
from dfm_flax.codec.pyramid.encoder import MIN_BYTES, reaching, within
from dfm_flax.codec.pyramid.rounding import Rounding
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
    def __init__(self, coded):
        self.coded = coded

    def best(self, worth=1.0, first=None):
        return self.coded

    def of(self, grids):
        return Untrained(dataclasses.replace(self.coded, grids=grids))


class Trainings(list):
    """What the last part of each was trained for; with `alike` nothing depends on it."""

    alike = False


@pytest.fixture
def trainings(pyramid_image, monkeypatch):
    """Nothing is trained: the more bits or the less error is wanted, the more numbers there are."""
    done = Trainings()

    def train(*arguments):
        target, num_steps, aim = arguments[6], arguments[7], arguments[10]
        done.append(aim)
        assert (target, num_steps) == (done[0], 1000)
        more = (aim.value / target.value) ** (1 if aim.of == "bits" else -0.3)
        return 1.0 if done.alike else more

    monkeypatch.setattr(encoder, "train", train)
    monkeypatch.setattr(
        encoder, "Rounding", lambda *arguments: Untrained(pyramid_image(spread=arguments[-1]))
    )
    return done


@pytest.mark.parametrize("share", [0.8, 0.995, 1.02, 1.1])
def test_the_last_part_is_trained_again_until_the_size_is_used(
    trainings, share, photo, tmp_path, pyramid_image
):
    num_bytes = share * file_size(pyramid_image())
    coded = within(photo(11, 18), num_bytes, 1000, tmp_path)
    assert 0.85 * num_bytes <= file_size(coded) <= num_bytes
    assert len(trainings) <= 1 + encoder._CORRECTIONS
    if share in (0.995, 1.02):
        assert len(trainings) == 1
    else:
        assert (trainings[1].bits > trainings[0].bits) == (share > 1)


def test_a_file_that_stays_too_large_is_thinned(trainings, photo, tmp_path, pyramid_image):
    trainings.alike = True
    num_bytes = file_size(pyramid_image()) - 40
    coded = within(photo(11, 18), num_bytes, 1000, tmp_path)
    assert num_bytes - 12 <= file_size(coded) <= num_bytes


def test_a_file_that_is_too_small_is_told(trainings, photo, tmp_path):
    trainings.alike = True
    with pytest.raises(UsageError, match="image photo: no file is that small"):
        within(photo(11, 18), MIN_BYTES, 1000, tmp_path)
    assert len(trainings) == 1 + encoder._CORRECTIONS
    assert trainings[0].bits > trainings[1].bits > trainings[2].bits > 0


def test_a_quality_is_reached_by_the_smallest(trainings, photo, tmp_path, pyramid_image):
    image = photo(11, 18)
    quality = psnr(image.pixels, pyramid_image().decoded()) - 0.05
    coded = reaching(image, quality, 1000, tmp_path)
    assert len(trainings) == 1
    assert quality <= psnr(image.pixels, coded.decoded())


def test_a_picture_that_comes_out_exactly(trainings, photo, tmp_path, monkeypatch):
    """Its PSNR is infinite, and the next training is for more error, not for an infinite one."""
    monkeypatch.setattr(encoder, "psnr", lambda *_: math.inf)
    reaching(photo(11, 18), 40.0, 1000, tmp_path)
    errors = np.log([aim.mse for aim in trainings])
    np.testing.assert_allclose(np.diff(errors), 1)


def test_a_quality_that_is_not_reached_has_the_best(trainings, photo, tmp_path):
    image = photo(11, 18)
    coded = reaching(image, 60.0, 1000, tmp_path)
    assert len(trainings) == 1 + encoder._CORRECTIONS
    errors = np.log([aim.mse for aim in trainings])
    np.testing.assert_allclose(np.diff(errors), -1)  # none of the changes is wild
    assert 0 < psnr(image.pixels, coded.decoded()) < 60
