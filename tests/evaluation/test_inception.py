"""Tests of Inception: its weights are checked before they are read, and what is missing is said.

The tests that run the network use random weights: the real ones are no part of this project.
"""

import hashlib
import sys
import types
import urllib.error

import numpy as np
import pytest

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.evaluation import inception
from dfm_flax.evaluation.inception import inception_features
from dfm_flax.metrics.generation import frechet_distance, inception_score

MODULE = "torch_fidelity.feature_extractor_inceptionv3"


@pytest.fixture
def library(monkeypatch):
    """A stand-in for torch-fidelity that must not read any file of weights."""
    module = types.ModuleType(MODULE)
    module.URL_INCEPTION_V3 = "https://example.org/v0/weights-inception.pth"
    module.FeatureExtractorInceptionV3 = lambda *a, **k: pytest.fail("unpickled unchecked weights")
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A stand-in for PyTorch's downloads; `hub.download` is what a download does."""
    torch = types.ModuleType("torch")
    torch.hub = types.SimpleNamespace(get_dir=lambda: str(tmp_path / "hub"))
    torch.hub.download_url_to_file = lambda *a, **k: torch.hub.download(*a, **k)
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch.hub


def test_the_library_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, MODULE, None)
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UsageError, match=r"pip install 'dfm_flax\[fid\]'"):
        inception_features()


def test_weights_that_are_not_there(library, tmp_path):
    with pytest.raises(UsageError, match=r"cannot read the Inception weights .*No such file"):
        inception_features(tmp_path / "missing.pth")
    with pytest.raises(UsageError, match=r"cannot read the Inception weights .*directory"):
        inception_features(tmp_path)


def test_other_weights_are_refused_unread(library, tmp_path):
    file = tmp_path / "pt_inception-2015-12-05-6726825d.pth"
    file.write_bytes(b"something else")
    digest = hashlib.sha256(b"something else").hexdigest()[:8]
    with pytest.raises(UsageError, match=f"SHA-256 is {digest}.*not 6726825d.*no FID"):
        inception_features(file)


def test_no_internet(library, hub):
    def download(url, path, hash_prefix):
        raise urllib.error.URLError("Name or service not known")

    hub.download = download
    with pytest.raises(DfmError, match=r"cannot download .*not known.*--inception-weights PATH"):
        inception_features()


def test_a_download_that_is_damaged(library, hub):
    def download(url, path, hash_prefix):
        assert hash_prefix == inception.SHA256
        raise RuntimeError("invalid hash value")

    hub.download = download
    with pytest.raises(DfmError, match="invalid hash value; try again"):
        inception_features()


def test_a_file_in_pytorchs_cache_is_checked_too(library, hub, tmp_path):
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "weights-inception.pth").write_bytes(b"damaged")
    with pytest.raises(UsageError, match="not the known file of Inception weights"):
        inception_features()


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """A file of random weights of the real architecture, and the network that has them."""
    torch = pytest.importorskip("torch", exc_type=ImportError)
    library = pytest.importorskip(MODULE, exc_type=ImportError)
    torch.manual_seed(0)
    patch = pytest.MonkeyPatch()
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    with patch.context() as context:
        # The class loads weights as it is made: give it none the first time.
        context.setattr(torch, "load", lambda *a, **k: None)
        context.setattr(library.FeatureExtractorInceptionV3, "load_state_dict", lambda *a: None)
        network = library.FeatureExtractorInceptionV3(
            "random", ["2048", "logits_unbiased"], feature_extractor_weights_path="none"
        )
    for module in network.modules():  # so that images still differ after some fifty layers
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.nn.init.normal_(network.fc.weight)
    torch.save(network.state_dict(), file)
    return file


@pytest.mark.slow
def test_the_same_numbers_as_the_librarys_own(random_weights, monkeypatch):
    """FID and score by torch-fidelity from images to numbers, with weights from the same file."""
    import torch
    import torch_fidelity

    digest = hashlib.sha256(random_weights.read_bytes()).hexdigest()
    monkeypatch.setattr(inception, "SHA256", digest)
    extractor = inception_features(random_weights)
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (6, 28, 28, 1), np.uint8)
    b = rng.integers(0, 128, (6, 28, 28, 1), np.uint8)
    features_a, features_b = extractor(a), extractor(b)
    assert features_a.activations.shape == (6, 2048)
    assert features_a.probabilities.shape == (6, 1008)

    class Images(torch.utils.data.Dataset):
        def __init__(self, images):
            self.images = np.broadcast_to(images, (*images.shape[:3], 3)).transpose(0, 3, 1, 2)

        def __len__(self):
            return len(self.images)

        def __getitem__(self, i):
            return torch.tensor(self.images[i])

    expected = torch_fidelity.calculate_metrics(
        input1=Images(a),
        input2=Images(b),
        cuda=False,
        fid=True,
        isc=True,
        isc_splits=1,
        feature_extractor_weights_path=str(random_weights),
        verbose=False,
        cache=False,
        batch_size=3,
        save_cpu_ram=True,  # no worker processes
    )
    distance = expected["frechet_inception_distance"]
    assert distance > 0.01
    assert frechet_distance(features_a.activations, features_b.activations) == pytest.approx(
        distance, rel=1e-3
    )
    score = expected["inception_score_mean"]
    assert score > 1.01
    assert inception_score(features_a.probabilities, 1).mean == pytest.approx(score, rel=1e-4)
