"""Words for arrays in annotations, beside jaxtyping's.

    def interpolated(
        images: Float[AnyArray, "images height width channels"],
        positions: Float[AnyArray, "points 2"],
    ) -> Float[jax.Array, "images points channels"]

A dtype, whose array, and a name for each axis. A name stands for one size in a whole signature;
"*points" is any number of axes, "..." is whatever it is, and a name that begins with "_" may
differ from array to array, as in a list of images of different sizes. mypy sees the array alone;
dtypes and shapes are checked where the tests call a function.

A function that examines what it is given, and answers with its own error, takes an `ArrayLike` of
NumPy and says the shape in words.
"""

from typing import TypeAlias

import jax
import numpy as np
from jaxtyping import Float, Integer, PyTree, UInt8

# What JAX computes with: its own arrays, and NumPy's on their way to the device.
AnyArray: TypeAlias = jax.Array | np.ndarray

# A number of pixels, known to Python or to a device.
Count: TypeAlias = int | np.integer | Integer[AnyArray, ""]

# The weights of a Flax module.
Params: TypeAlias = PyTree[Float[AnyArray, "..."]]

# An image of 8 bits, gray or RGB.
Pixels: TypeAlias = UInt8[np.ndarray, "height width channels"]
