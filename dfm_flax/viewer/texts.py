"""Numbers as text in a page."""

import base64

import numpy as np
from jaxtyping import Float, Shaped

from dfm_flax.typing import AnyArray


def base64_text(array: Shaped[np.ndarray, "..."]) -> str:
    """The bytes of an array, row by row."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def floats_text(*arrays: Float[AnyArray, "..."]) -> str:
    """float32, little-endian, row by row, one array after the other."""
    return base64_text(np.concatenate([np.ravel(array) for array in arrays]).astype("<f4"))
