"""The weights that every machine over a pyramid starts from; a file has what differs from them.

They are part of the format: whole numbers of 2^-14, trained on photographs of all kinds at once,
each with grids of its own. A machine of few grids takes those of its cells' sizes, and one for a
grey image the means over the channels.
"""

import functools
from importlib import resources

import numpy as np
from jaxtyping import Float32, Int32, Integer

from dfm_flax.codec.context_model import FRACTION
from dfm_flax.codec.pyramid.geometry import MAX_GRIDS
from dfm_flax.codec.pyramid.network import Network

_CHANNELS = 3


def start_weights(network: Network, first: int) -> dict[str, Int32[np.ndarray, "..."]]:
    """The weights of a network whose finest grid has cells of 2^first pixels."""
    weights = dict(_stored())
    used = np.arange(first, first + network.grids)
    # Which rows of the first layer the grids have: the constant, then one a grid and a harmonic.
    harmonics = (len(weights["first"]) - 1) // MAX_GRIDS
    rows = np.concatenate([[0], *(1 + i * MAX_GRIDS + used for i in range(harmonics))])
    weights["first"] = weights["first"][rows]
    for name in ("scales", "linear", "context_levels"):
        weights[name] = weights[name][used]
    if network.channels == 1:
        for name in ("last", "linear"):
            weights[name] = _mean(weights[name].sum(axis=1, keepdims=True))
        weights["bias"] = _mean(weights["bias"].sum(keepdims=True))
        weights["filter"] = _mean(weights["filter"].sum(axis=(0, 3), keepdims=True))
    shapes = {name: array.shape for name, array in weights.items()}
    if shapes != network.shapes:
        raise ValueError(f"there is no start for {network}")
    return weights


def start_floats(network: Network, first: int) -> dict[str, Float32[np.ndarray, "..."]]:
    """The same as numbers, as `Network` takes them."""
    return {
        name: np.ldexp(array.astype(np.float32), -FRACTION)
        for name, array in start_weights(network, first).items()
    }


def _mean(sums: Integer[np.ndarray, "..."]) -> Int32[np.ndarray, "..."]:
    return (sums // _CHANNELS).astype(np.int32)


@functools.cache
def _stored() -> dict[str, Int32[np.ndarray, "..."]]:
    file = resources.files("dfm_flax.codec.pyramid") / "start.npz"
    with resources.as_file(file) as path, np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
