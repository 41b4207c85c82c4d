"""Rates and PSNRs that others published for images of Kodak's set, to compare with.

published_kodak.json has the points and their sources.
"""

import functools
import json
import math
import re
from importlib import resources
from typing import Any

from dfm_flax.metrics.rate_distortion import Point

_SIZE = (512, 768)  # pixels of each image, or turned


def is_of_kodak(name: str, height: int, width: int) -> bool:
    """Whether an image has the name and the size of one of Kodak's 24."""
    number = re.fullmatch(r"kodim(\d\d)", name)
    is_named = number is not None and 1 <= int(number[1]) <= 24
    return is_named and tuple(sorted((height, width))) == _SIZE


def of_image(name: str) -> dict[str, list[Point]]:
    """Points of one of Kodak's images, by codec."""
    return {
        codec: _points(entry["points"][name])
        for codec, entry in _published()["images"].items()
        if name in entry["points"]
    }


def means_of_kodak() -> dict[str, list[Point]]:
    """Means over the 24 images, by codec."""
    return {codec: _points(entry["points"]) for codec, entry in _published()["means"].items()}


def _points(pairs: list[list[float]]) -> list[Point]:
    return [Point(bpp, psnr, math.nan) for bpp, psnr in pairs]


@functools.cache
def _published() -> dict[str, Any]:
    file = resources.files("dfm_flax.baselines") / "published_kodak.json"
    found: dict[str, Any] = json.loads(file.read_text())
    return found
