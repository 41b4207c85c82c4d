"""The Inception network of 2015, whose Frechet distance is the FID.

It is an Inception v3 that Google released on 2015-12-05, as converted to PyTorch; the network,
the bilinear resize of TensorFlow 1 before it, and the address of the weights are torch-fidelity's
(Obukhov et al. 2020). No other weights are accepted: with others the numbers are no FID.
"""

import urllib.error
from pathlib import Path

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.evaluation.extractor import FeatureExtractor
from dfm_flax.evaluation.pytorch_network import check_weights, looker

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"  # 95,628,359 bytes

_LOOKED_AT = 64  # images


def inception_features(weights: str | Path | None = None) -> FeatureExtractor:
    """The 2,048 features that FID and KID are made of, and the classes of the Inception score.

    Gray images are shown as gray RGB. The class probabilities leave the last bias out, as in the
    code of the score's authors. Runs on a GPU where PyTorch finds one.

    Args:
      weights: file of the weights, 'pt_inception-2015-12-05-6726825d.pth' or the same under
        another name; None takes them from PyTorch's cache, or downloads them.

    Raises:
      UsageError: torch-fidelity is not installed, or the file is missing or another.
      DfmError: the download failed.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (
            URL_INCEPTION_V3,
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise UsageError(
            f"the features of Inception need torch-fidelity ({error}); "
            "pip install 'dfm_flax[fid]', or use --features classifier"
        ) from error
    file = _downloaded(URL_INCEPTION_V3) if weights is None else Path(weights)
    check_weights(file, SHA256, "Inception", "with other weights the distance would be no FID")
    network = FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(file)
    )
    about = {"name": "inception", "trained_on": "ImageNet", "sha256": SHA256}
    return FeatureExtractor("inception", about, _LOOKED_AT, looker(network, network), slow=True)


def _downloaded(url: str) -> Path:
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), hash_prefix=SHA256)
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            reason = getattr(error, "reason", error)
            raise DfmError(
                f"cannot download {url} ({reason}); bring the file from a machine with internet "
                "and give --inception-weights PATH, or use --features classifier"
            ) from error
        except RuntimeError as error:
            raise DfmError(f"{url}: {error}; try again") from error
    return file
