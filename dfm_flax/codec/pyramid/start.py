"""The weights that every machine over a pyramid starts from; a file has what differs from them.

They are part of the format: whole numbers of 2^-14, see `learn_start`. A file says which start is
its own: new ones have the newest, and the older ones stay readable. A machine of few grids takes
the weights of its cells' sizes, and one for a grey image the means over the channels.
"""

import functools
from importlib import resources

import numpy as np
from jaxtyping import Float32, Int32, Integer

from dfm_flax.codec.context_model import FRACTION
from dfm_flax.codec.pyramid.geometry import MAX_GRIDS
from dfm_flax.codec.pyramid.network import Network

_CHANNELS = 3


def start_weights(network: Network) -> dict[str, Int32[np.ndarray, "..."]]:
    """The weights that a network starts from.

    Raises:
      ValueError: there is no start for its sizes.
    """
    weights = dict(_stored(network.start))
    used = np.arange(network.first, network.first + network.grids)
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


def start_floats(network: Network) -> dict[str, Float32[np.ndarray, "..."]]:
    """The same as numbers, as `Network` takes them."""
    return {
        name: np.ldexp(array.astype(np.float32), -FRACTION)
        for name, array in start_weights(network).items()
    }


def _mean(sums: Integer[np.ndarray, "..."]) -> Int32[np.ndarray, "..."]:
    return (sums // _CHANNELS).astype(np.int32)


@functools.cache
def _stored(number: int) -> dict[str, Int32[np.ndarray, "..."]]:
    file = resources.files("dfm_flax.codec.pyramid") / f"start_{number}.npz"
    with resources.as_file(file) as path, np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
