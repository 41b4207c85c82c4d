"""A small convolutional classifier, whose features images are compared by."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, UInt8

from dfm_flax.typing import AnyArray

_WIDEST = 128
_LAST_SIDE = 4


class Classifier(nn.Module):
    """Classes of small images, and the features that they are told apart by.

    3 x 3 convolutions, each of which halves the sides and doubles the channels up to 128,
    until the shorter side is 4 or less; then one hidden layer.

    Attributes:
      num_classes: classes.
      width: channels of the first convolution.
      num_features: size of the hidden layer.
    """

    num_classes: int
    width: int = 32
    num_features: int = 128

    @nn.compact
    def __call__(
        self, images: UInt8[AnyArray, "batch height width channels"]
    ) -> tuple[
        Float[jax.Array, "batch {self.num_features}"], Float[jax.Array, "batch {self.num_classes}"]
    ]:
        """Features and logits of images."""
        x = images.astype(jnp.float32) / 127.5 - 1
        halvings = max(2, math.ceil(math.log2(min(images.shape[1:3]) / _LAST_SIDE)))
        for i in range(halvings):
            x = nn.Conv(min(self.width * 2**i, _WIDEST), (3, 3), strides=(2, 2))(x)
            x = nn.relu(nn.LayerNorm(reduction_axes=(-3, -2, -1), feature_axes=-1)(x))
        # Without a norm half of the hidden units die, and a distance sees half as much.
        features = nn.relu(nn.LayerNorm()(nn.Dense(self.num_features)(x.reshape(len(x), -1))))
        return features, nn.Dense(self.num_classes)(features)
