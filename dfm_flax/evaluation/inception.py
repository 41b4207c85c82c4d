"""The Inception network of 2015, whose Frechet distance is the FID.

It is an Inception v3 that Google released on 2015-12-05, as converted to PyTorch; the network,
the bilinear resize of TensorFlow 1 before it, and the address of the weights are torch-fidelity's
(Obukhov et al. 2020). No other weights are accepted: with others the numbers are no FID.
"""

import hashlib
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.evaluation.extractor import FeatureExtractor, Images, Look

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
    _check(file)
    # Unpickled only after the check: a file of weights can hold any program.
    network = FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(file)
    )
    about = {"name": "inception", "trained_on": "ImageNet", "sha256": SHA256}
    return FeatureExtractor("inception", about, _LOOKED_AT, _looker(network), slow=True)


def _looker(network: Any) -> Look:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)

    def look(
        images: Images,
    ) -> tuple[Float32[np.ndarray, "images features"], Float32[np.ndarray, "images classes"]]:
        colors = np.broadcast_to(images, (*images.shape[:3], 3))
        batch = torch.tensor(np.ascontiguousarray(np.moveaxis(colors, -1, 1)), device=device)
        with torch.inference_mode():
            features, logits = network(batch)
            return features.cpu().numpy(), torch.softmax(logits, dim=1).cpu().numpy()

    return look


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


def _check(file: Path) -> None:
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read the Inception weights {file}: {error.strerror}") from error
    if found != SHA256:
        raise UsageError(
            f"{file} is not the file of the FID's weights: its SHA-256 is {found[:8]}..., not "
            f"{SHA256[:8]}...; with other weights the distance would be no FID"
        )
