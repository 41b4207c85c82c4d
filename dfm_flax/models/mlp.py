"""Multilayer perceptrons, and the encoder of images."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
from flax.typing import Initializer
from jaxtyping import Float

from dfm_flax.typing import AnyArray

_Features = Float[jax.Array, "batch features"]

ACTIVATIONS: dict[str, Callable[[_Features], _Features]] = {
    "relu": nn.relu,
    "gelu": nn.gelu,
    "silu": nn.silu,
    "tanh": nn.tanh,
}


class Mlp(nn.Module):
    """Dense layers with an activation between them.

    Attributes:
      hidden: features of the hidden layers.
      outputs: features of the last layer, which is linear.
      activation: one of `ACTIVATIONS`.
      variance: of the Gaussian that kernels are drawn from; 0 for what keeps the scale of
        the features from layer to layer, 2 / inputs for the rectifying activations and
        1 / inputs for tanh and the last layer. Biases start at 0.
      last_kernel, last_bias: initializers of the last layer, where they differ from that.
    """

    hidden: Sequence[int]
    outputs: int
    activation: str = "relu"
    variance: float = 0.0
    last_kernel: Initializer | None = None
    last_bias: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "batch inputs"]
    ) -> Float[jax.Array, "batch {self.outputs}"]:
        """The outputs for each row of inputs."""
        activation = ACTIVATIONS[self.activation]
        gain = 1.0 if self.activation == "tanh" else 2.0
        for i, features in enumerate(self.hidden):
            x = activation(nn.Dense(features, kernel_init=self._kernel(gain), name=f"layer_{i}")(x))
        return nn.Dense(
            self.outputs,
            kernel_init=self.last_kernel or self._kernel(1.0),
            bias_init=self.last_bias,
            name=f"layer_{len(self.hidden)}",
        )(x)

    def _kernel(self, gain: float) -> Initializer:
        if self.variance:
            return nn.initializers.normal(self.variance**0.5)
        return nn.initializers.variance_scaling(gain, "fan_in", "normal")


class Encoder(nn.Module):
    """Images to latents, through a perceptron of their pixels.

    Attributes: see `Mlp`.
    """

    hidden: Sequence[int]
    outputs: int
    activation: str = "relu"
    variance: float = 0.0

    @nn.compact
    def __call__(
        self, images: Float[AnyArray, "batch height width channels"]
    ) -> Float[jax.Array, "batch {self.outputs}"]:
        """The outputs for each image in [-1, 1]."""
        mlp = Mlp(self.hidden, self.outputs, self.activation, self.variance, name="mlp")
        return mlp(images.reshape(len(images), -1))
