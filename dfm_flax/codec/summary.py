"""What a `.dfm` file holds, as rows of tables."""

from pathlib import Path
from typing import Any

import numpy as np

from dfm_flax.codec import entropy
from dfm_flax.codec.groups import row_groups
from dfm_flax.codec.powers import step_size
from dfm_flax.codec.quantized import QuantizedImage, by_groups


def of_file(file: str | Path, image: QuantizedImage, num_bytes: int) -> dict[str, Any]:
    """One row: size, machine, weights and bits of a file of `num_bytes`."""
    machine = image.machine
    weights = sum(layer.size for layer in image.integers)
    pixels = image.height * image.width
    raw = pixels * machine.channels * (1 if image.levels == 255 else 2)
    hidden = machine.widths[1:-1]
    return {
        "file": str(file),
        "size": f"{image.width}x{image.height}x{machine.channels}",
        "bits": 8 if image.levels == 255 else 16,
        "depth": machine.depth,
        "width": ",".join(map(str, hidden if len(set(hidden)) > 1 else hidden[:1])),
        "frequencies": ",".join(str(machine.bases[i].max_frequency) for i in (0, 1, -1)),
        "weights": weights,
        "bytes": num_bytes,
        "bpp": 8 * num_bytes / pixels,
        "bits/weight": 8 * num_bytes / weights,
        "percent": 100 * num_bytes / raw,
    }


def of_groups(image: QuantizedImage) -> list[dict[str, Any]]:
    """A row for each group of weights; bits as entropy coded."""
    groups = by_groups(image.integers, image.machine)
    shape, widths, _ = entropy.encode(groups)
    sizes = step_size(image.step_codes)
    rows = []
    for layer, members in enumerate(row_groups(image.machine)):
        for group in np.unique(members):
            integers = groups[group]
            rows.append(
                {
                    "layer": layer + 1,
                    "frequency": int(group - members[0]),
                    "weights": integers.size,
                    "step_size": float(sizes[group]),
                    "largest": int(np.abs(integers).max()),
                    "zeros": f"{100 * np.mean(integers == 0):.0f}%",
                    "bits/weight": entropy.bits(shape, widths[group], integers) / integers.size,
                }
            )
    return rows
