"""Decoders of latents to images: through Fourier machines, or straight to pixels."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from dfm_flax.data.positions import pixel_positions
from dfm_flax.errors import UsageError
from dfm_flax.fourier import FourierMachine, apply_machines, initial_deviations, vector_size
from dfm_flax.models.mlp import Mlp
from dfm_flax.typing import AnyArray


class FunctionDecoder(nn.Module):
    """The base of decoders of latents to functions of the position, which draw at any size.

    A subclass gives `at`.

    Attributes:
      machine: that draws.
    """

    machine: FourierMachine

    def at(
        self, latents: Float[AnyArray, "batch latent"], positions: Float[AnyArray, "points 2"]
    ) -> Float[jax.Array, "batch points {self.machine.channels}"]:
        """Colors in [-1, 1] at positions in the unit square."""
        raise NotImplementedError

    def __call__(
        self,
        latents: Float[AnyArray, "batch latent"],
        index: Integer[AnyArray, "points"],
        height: int,
        width: int,
    ) -> Float[jax.Array, "batch points {self.machine.channels}"]:
        """Colors of some pixels of a grid of any size.

        Args:
          latents: of the images.
          index: row-major indices of the pixels, the same for all images.
          height, width: of the grid.

        Returns:
          Colors in [-1, 1].
        """
        return self.at(latents, pixel_positions(index, height, width))


class Decoder(FunctionDecoder):
    """Latents to all coefficients of a machine an image, which draws it at any size.

    Attributes:
      machine: the structure of the machines.
      hidden, activation: of the perceptron that gives the coefficients, see `Mlp`.
      variance: see `initialization`.
      initialization: "gaussian" draws all kernels of the perceptron from a Gaussian of `variance`,
        and biases start at 0. "centered" starts around a machine as `FourierMachine` draws it: the
        perceptron's outputs are coefficients in units of their standard deviations in such a
        machine, its last biases are drawn from N(0, 1), and `variance` is that of the outputs
        around them while the last hidden features are of unit scale, as the other layers keep
        them.
    """

    hidden: Sequence[int]
    activation: str = "relu"
    variance: float = 2e-2
    initialization: str = "gaussian"

    def __post_init__(self) -> None:
        if self.initialization not in ("gaussian", "centered"):
            raise ValueError(
                f"initialization={self.initialization!r} is not one of gaussian, centered"
            )
        super().__post_init__()

    def setup(self) -> None:
        size = vector_size(self.machine)
        if self.initialization == "centered":
            self.mlp = Mlp(
                self.hidden,
                size,
                self.activation,
                last_kernel=nn.initializers.variance_scaling(self.variance, "fan_in", "normal"),
                last_bias=nn.initializers.normal(1.0),
            )
        else:
            self.mlp = Mlp(self.hidden, size, self.activation, self.variance)

    def at(
        self, latents: Float[AnyArray, "batch latent"], positions: Float[AnyArray, "points 2"]
    ) -> Float[jax.Array, "batch points {self.machine.channels}"]:
        """Colors at positions in the unit square."""
        return apply_machines(self.machine, self.coefficients(latents), positions)

    def coefficients(
        self, latents: Float[AnyArray, "batch latent"]
    ) -> Float[jax.Array, "batch weights"]:
        """Coefficients of machines, `vector_size` each, in the order of `split_vector`."""
        outputs = self.mlp(latents)
        if self.initialization == "centered":
            return outputs * initial_deviations(self.machine)
        return outputs


class PixelDecoder(nn.Module):
    """Latents to the pixels of images of one size: the usual perceptron, to compare with.

    Attributes:
      height, width, channels: of the images.
      hidden, activation: see `Mlp`.
    """

    height: int
    width: int
    channels: int
    hidden: Sequence[int]
    activation: str = "relu"

    def setup(self) -> None:
        self.mlp = Mlp(self.hidden, self.height * self.width * self.channels, self.activation)

    def __call__(
        self,
        latents: Float[AnyArray, "batch latent"],
        index: Integer[AnyArray, "points"],
        height: int,
        width: int,
    ) -> Float[jax.Array, "batch points {self.channels}"]:
        """As `Decoder`, but only for the grid that it was made for.

        Raises:
          UsageError: another grid is asked for.
        """
        if (height, width) != (self.height, self.width):
            raise UsageError(
                f"this model draws pixels, not functions: its images are {self.width}x"
                f"{self.height} and no other size"
            )
        # The sigmoid of the logits is the intensity in [0, 1].
        return jnp.tanh(self.logits(latents)[:, index] / 2)

    def logits(
        self, latents: Float[AnyArray, "batch latent"]
    ) -> Float[jax.Array, "batch pixels {self.channels}"]:
        """Logits of the intensities."""
        return self.mlp(latents).reshape(len(latents), -1, self.channels)
