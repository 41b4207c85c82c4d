"""What a page has of a pyramid: its grids and the machine over them, as `pyramid.js` takes them."""

from typing import Any

import numpy as np
from jaxtyping import Int32

from dfm_flax.codec.pyramid.image import PyramidImage
from dfm_flax.codec.pyramid.network import SYNTHESIS
from dfm_flax.viewer.texts import base64_text, floats_text


def structure_of(image: PyramidImage) -> dict[str, Any]:
    """What the shader of its machine is made of."""
    network = image.weights.network
    return {
        "residual": False,
        "widths": [network.grids, network.features, network.channels],
        "bases": ["additive", "additive"],
        "frequencies": [SYNTHESIS.max_frequency] * 2,
    }


def grids_of(image: PyramidImage) -> list[dict[str, int]]:
    """Sizes of its grids, and pixels a side of their cells."""
    pyramid = image.pyramid
    return [
        {"cell": 2**exponent, "height": height, "width": width}
        for exponent, (height, width) in zip(pyramid.exponents, pyramid.shapes, strict=True)
    ]


def picture_of(image: PyramidImage) -> dict[str, Any]:
    """Its numbers and weights; colors are three, which of a gray picture are the same."""
    weights = image.weights.floats
    layers = weights["first"], weights["bias"], weights["last"]
    linear, taps = weights["linear"], weights["filter"].transpose(1, 2, 3, 0)
    if image.channels == 1:
        linear, taps = np.repeat(linear, 3, axis=1), taps * np.eye(3, dtype=np.float32)
    return {
        "coefficients": floats_text(*layers),
        "grids": [_whole_numbers(grid) for grid in image.grids],
        "units": image.units,
        "scales": weights["scales"].tolist(),
        "linear": linear.tolist(),
        "filter": taps.tolist(),
    }


def _whole_numbers(grid: Int32[np.ndarray, "height width"]) -> dict[str, Any]:
    """In as few bytes each as they need."""
    fits = np.abs(grid).max() <= 127
    return {
        "bytes": 1 if fits else 2,
        "numbers": base64_text(grid.astype("<i1" if fits else "<i2")),
    }
