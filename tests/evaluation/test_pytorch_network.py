"""Tests of what networks of PyTorch share: checked weights, and how images are shown to them."""

import hashlib

import numpy as np
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.evaluation.pytorch_network import check_weights, looker


def test_the_known_file_passes(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"weights")
    check_weights(file, hashlib.sha256(b"weights").hexdigest(), "Known", "nothing compares")


def test_another_file_is_refused(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"something else")
    found, known = (hashlib.sha256(text).hexdigest() for text in (b"something else", b"weights"))
    message = f"known file of Known weights: .*{found[:8]}.*not {known[:8]}.*; nothing compares"
    with pytest.raises(UsageError, match=message):
        check_weights(file, known, "Known", "nothing compares")


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read the Known weights .*No such file"):
        check_weights(tmp_path / "missing.pth", "", "Known", "")
    with pytest.raises(UsageError, match=r"cannot read the Known weights .*directory"):
        check_weights(tmp_path, "", "Known", "")


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_shown_as_rgb_and_channels_come_first(channels):
    torch = pytest.importorskip("torch", exc_type=ImportError)
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, channels), np.uint8)

    def forward(batch):
        assert batch.shape == (4, 3, 5, 6)
        assert batch.dtype == torch.uint8
        means = batch.float().mean(dim=3)[:, :, 0]
        return means, torch.log(means)

    features, probabilities = looker(torch.nn.Identity(), forward)(images)
    expected = np.broadcast_to(images[:, 0].mean(axis=1, dtype=np.float32), (4, 3))
    np.testing.assert_allclose(features, expected, rtol=1e-6)
    shares = expected / expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, shares, rtol=1e-5)
