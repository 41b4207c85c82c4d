"""Networks of other packages that run in PyTorch: their weights are checked, images shown to them.

PyTorch is optional, so it is imported only where a network is there already.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from dfm_flax.errors import UsageError
from dfm_flax.evaluation.extractor import Images, Look


def check_weights(file: Path, sha256: str, what: str, why: str) -> None:
    """Refuses a file of weights that is another one than is known.

    Called before it is unpickled: a file of weights can hold any program.

    Args:
      file: of the weights.
      sha256: that of the known file.
      what: whose weights they are, for messages.
      why: what other weights would do, for messages.

    Raises:
      UsageError: the file cannot be read, or is another.
    """
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"cannot read the {what} weights {file}: {error.strerror}") from error
    if found != sha256:
        raise UsageError(
            f"{file} is not the known file of {what} weights: its SHA-256 is {found[:8]}..., not "
            f"{sha256[:8]}...; {why}"
        )


def looker(network: Any, forward: Callable[[Any], tuple[Any, Any]]) -> Look:
    """How a network looks at images: on a GPU where PyTorch finds one, gray ones as gray RGB.

    Args:
      network: a `torch.nn.Module`, which is moved to the device.
      forward: maps a tensor of bytes [B, 3, height, width] there to features [B, D] and logits
        [B, classes] by the network.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device)

    def look(
        images: Images,
    ) -> tuple[Float32[np.ndarray, "images features"], Float32[np.ndarray, "images classes"]]:
        colors = np.broadcast_to(images, (*images.shape[:3], 3))
        batch = torch.tensor(np.ascontiguousarray(np.moveaxis(colors, -1, 1)), device=device)
        with torch.inference_mode():
            features, logits = forward(batch)
            return features.cpu().numpy(), torch.softmax(logits, dim=1).cpu().numpy()

    return look
