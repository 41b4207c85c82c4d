import numpy as np
import pytest

from dfm_flax.codec.container import file_size, from_bytes, to_bytes
from dfm_flax.codec.pyramid import encoder
from dfm_flax.codec.pyramid.encoder import MIN_BYTES, reaching, within
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


class Trained:
    """Stands for a trained machine's roundings."""

    trade_off = 1e-3

    def __init__(self, coded):
        self.coded, self.asked = coded, []

    def best(self, worth=1.0):
        self.asked.append(worth)
        return self.coded


@pytest.fixture
def trained(pyramid_image, monkeypatch):
    """Nothing is trained; returns what always comes of it, and the targets of each training."""
    made, targets = Trained(pyramid_image()), []
    monkeypatch.setattr(encoder, "_train", lambda *rest: targets.append(rest[3]) or made)
    return made, targets


def test_a_quality_that_is_reached(trained, photo, tmp_path):
    """The fewest numbers that have it, after one training."""
    made, targets = trained
    image = photo(11, 18)
    quality = psnr(image.pixels, made.coded.decoded())
    coded = reaching(image, quality - 0.5, 10, tmp_path)
    assert len(targets) == 1
    assert quality - 0.5 <= psnr(image.pixels, coded.decoded())
    assert file_size(coded) <= file_size(made.coded)


def test_a_quality_that_is_not_reached_is_tried_three_times(trained, photo, tmp_path):
    made, targets = trained
    image = photo(11, 18)
    assert reaching(image, 60.0, 10, tmp_path) is made.coded
    assert len(targets) == 3
    errors = [target.mse for target in targets]
    assert errors == sorted(set(errors), reverse=True)


def test_a_file_that_is_too_large_is_thinned(trained, photo, tmp_path):
    made, _ = trained
    num_bytes = file_size(made.coded) - 60
    coded = within(photo(11, 18), num_bytes, 10, tmp_path)
    assert num_bytes - 12 <= file_size(coded) <= num_bytes
    assert coded.weights is made.coded.weights


def test_a_file_that_is_too_small_is_told(trained, photo, tmp_path):
    with pytest.raises(UsageError, match="image photo: no file is that small"):
        within(photo(11, 18), MIN_BYTES, 10, tmp_path)
