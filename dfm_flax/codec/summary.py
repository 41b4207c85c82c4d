"""What a `.dfm` file holds, as rows of tables."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from dfm_flax.codec import entropy, grids
from dfm_flax.codec.coded_image import CodedImage
from dfm_flax.codec.groups import row_groups
from dfm_flax.codec.powers import step_size
from dfm_flax.codec.pyramid.image import PyramidImage
from dfm_flax.codec.quantized import QuantizedImage, by_groups


def of_file(file: str | Path, image: CodedImage, num_bytes: int) -> dict[str, Any]:
    """One row: size, structure, weights and bits of a file of `num_bytes`."""
    pixels = image.height * image.width
    raw = pixels * image.channels * (1 if image.levels == 255 else 2)
    return {
        "file": str(file),
        "size": f"{image.width}x{image.height}x{image.channels}",
        "bits": 8 if image.levels == 255 else 16,
        "method": "grids" if isinstance(image, PyramidImage) else "machine",
        "structure": _structure(image),
        "weights": image.num_weights,
        "bytes": num_bytes,
        "bpp": 8 * num_bytes / pixels,
        "percent": 100 * num_bytes / raw,
    }


def of_parts(image: CodedImage) -> list[dict[str, Any]]:
    """A row for each part that is coded by itself; bits as entropy coded."""
    if isinstance(image, PyramidImage):
        return [*_of_grids(image), *_of_weights(image)]
    assert isinstance(image, QuantizedImage)
    return _of_layers(image)


def _structure(image: CodedImage) -> str:
    """In words."""
    if isinstance(image, PyramidImage):
        cells = [2**exponent for exponent in image.pyramid.exponents]
        return f"{len(cells)} grids, cells of {cells[0]} to {cells[-1]} pixels"
    assert isinstance(image, QuantizedImage)
    machine = image.machine
    hidden = machine.widths[1:-1]
    widths = ",".join(map(str, hidden if len(set(hidden)) > 1 else hidden[:1]))
    frequencies = ",".join(str(machine.bases[i].max_frequency) for i in (0, 1, -1))
    return f"{machine.depth} layers of {widths}, frequencies {frequencies}"


def _of_grids(image: PyramidImage) -> list[dict[str, Any]]:
    lengths = grids.lengths(image.grids, image.weights.context_model)
    return [
        {
            "part": f"grid of {2**exponent} pixels",
            "numbers": grid.size,
            "step_size": None,
            "largest": int(np.abs(grid).max()),
            "zeros": f"{100 * np.mean(grid == 0):.0f}%",
            "bits": float(length.sum()),
            "bits/number": float(length.mean()),
        }
        for exponent, grid, length in zip(
            image.pyramid.exponents, image.grids, lengths, strict=True
        )
    ]


def _of_weights(image: PyramidImage) -> list[dict[str, Any]]:
    weights = image.weights
    shape, widths = entropy.best_models(weights.integers)
    return [
        _group(f"{group.name}, {len(group.rows)} row(s)", integers, 2.0 ** -int(code), shape, width)
        for group, integers, code, width in zip(
            weights.network.groups, weights.integers, weights.step_codes, widths, strict=True
        )
    ]


def _of_layers(image: QuantizedImage) -> list[dict[str, Any]]:
    groups = by_groups(image.integers, image.machine)
    shape, widths = entropy.best_models(groups)
    sizes = step_size(image.step_codes)
    return [
        _group(
            f"layer {layer + 1}, frequency {group - members[0]}",
            groups[group],
            float(sizes[group]),
            shape,
            widths[group],
        )
        for layer, members in enumerate(row_groups(image.machine))
        for group in np.unique(members)
    ]


def _group(
    part: str, integers: Int32[np.ndarray, "..."], step: float, shape: int, width: int
) -> dict[str, Any]:
    bits = entropy.bits(shape, width, integers)
    return {
        "part": part,
        "numbers": integers.size,
        "step_size": step,
        "largest": int(np.abs(integers).max()),
        "zeros": f"{100 * np.mean(integers == 0):.0f}%",
        "bits": bits,
        "bits/number": bits / integers.size,
    }
