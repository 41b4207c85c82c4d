"""A machine with whole numbers for weights: what a `.dfm` file holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Integer, UInt8

from dfm_flax.codec.coded_image import CodedImage
from dfm_flax.codec.groups import row_groups
from dfm_flax.codec.powers import step_size
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.rendering import Region, render


@dataclass(frozen=True, eq=False)
class QuantizedImage(CodedImage):
    """An image as a function of position, with quantized weights.

    Attributes:
      height, width: pixels of the image that it was made from.
      levels: largest sample of that image, 255 or 65535.
      machine: the structure. Its variances say how training started and are not stored.
      step_codes: of the step size of each group of weights, which is 2^(-code / 8); see
        `groups.row_groups`.
      integers: each layer's weights in units of their step sizes.
    """

    height: int
    width: int
    levels: int
    machine: FourierMachine
    step_codes: UInt8[np.ndarray, "groups"]
    integers: list[Int32[np.ndarray, "_rows _features"]]

    @property
    def channels(self) -> int:
        return self.machine.channels

    @property
    def num_weights(self) -> int:
        return sum(layer.size for layer in self.integers)

    def render(
        self, height: int, width: int, region: Region | None = None
    ) -> Float32[np.ndarray, "rows columns channels"]:
        return render(self.machine, self.params, height, width, region)

    @property
    def params(self) -> dict[str, Any]:
        """The machine's parameters, as its `apply` takes them: float32."""
        sizes = step_size(self.step_codes)
        return {
            f"layer_{i}": {"coefficients": layer.astype(np.float32) * sizes[rows][:, None]}
            for i, (layer, rows) in enumerate(
                zip(self.integers, row_groups(self.machine), strict=True)
            )
        }


def quantize(
    params: Mapping[str, Any],
    machine: FourierMachine,
    step_codes: Integer[np.ndarray, "groups"],
    height: int,
    width: int,
    levels: int = 255,
) -> QuantizedImage:
    """Rounds the weights of a machine to the nearest multiples of their step sizes."""
    sizes = step_size(step_codes)
    integers = [
        np.rint(np.asarray(params[f"layer_{i}"]["coefficients"]) / sizes[rows][:, None]).astype(
            np.int32
        )
        for i, rows in enumerate(row_groups(machine))
    ]
    return QuantizedImage(
        height, width, levels, machine, np.asarray(step_codes, np.uint8), integers
    )


def by_groups(
    layers: list[Integer[np.ndarray, "_rows _features"]], machine: FourierMachine
) -> list[Integer[np.ndarray, "_weights"]]:
    """The weights of each group, flat, row by row, from those of each layer."""
    groups = []
    for layer, rows in zip(layers, row_groups(machine), strict=True):
        groups += [layer[rows == group].ravel() for group in np.unique(rows)]
    return groups


def by_layers(
    groups: list[Integer[np.ndarray, "_weights"]], machine: FourierMachine
) -> list[Int32[np.ndarray, "_rows _features"]]:
    """The inverse of `by_groups`."""
    layers = []
    for features, rows in zip(machine.widths[1:], row_groups(machine), strict=True):
        layer = np.empty((len(rows), features), np.int32)
        for group in np.unique(rows):
            layer[rows == group] = groups[group].reshape(-1, features)
        layers.append(layer)
    return layers
