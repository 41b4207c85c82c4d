"""Positions of pixels in the unit square, and images as sets of pixels to learn."""

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int32, Integer, PRNGKeyArray, Real

from dfm_flax.typing import AnyArray, Count


def pixel_positions(
    index: Integer[AnyArray, "*points"], height: Count, width: Count
) -> Float32[jax.Array, "*points 2"]:
    """Centers of the pixels of given row-major index, as (x, y) in the unit square."""
    return pixel_centers(index % width, index // width, height, width)


def pixel_centers(
    column: Real[AnyArray, "*points"], row: Real[AnyArray, "*points"], height: Count, width: Count
) -> Float32[jax.Array, "*points 2"]:
    """Centers of the pixels in given columns and rows, as (x, y) in the unit square."""
    x = (column + 0.5) / width
    y = (row + 0.5) / height
    return jnp.stack([x, y], axis=-1).astype(jnp.float32)


def shifted(
    index: Integer[AnyArray, "*points"],
    shift: Float[AnyArray, "*points 2"],
    height: Count,
    width: Count,
) -> Float32[jax.Array, "*points 2"]:
    """Positions of pixels moved by `shift` pixels, not over the outer centers."""
    size = jnp.array([width, height], jnp.float32)
    return jnp.clip(
        pixel_positions(index, height, width) + shift / size, 0.5 / size, 1 - 0.5 / size
    )


def interpolated(
    images: Float[AnyArray, "images height width channels"], positions: Float[AnyArray, "points 2"]
) -> Float[jax.Array, "images points channels"]:
    """Colors of images at positions, by cubic convolution.

    The kernel of Keys (1981) gives a pixel's own color at its center, and stays sharp in
    between, where a linear one blurs. Beyond the outermost centers lies nothing: the weights
    of the pixels that there are sum to 1.
    """
    height, width = images.shape[1:3]
    columns = _cubic_weights(positions[:, 0] * width - 0.5, width)
    rows = _cubic_weights(positions[:, 1] * height - 0.5, height)
    weights = rows[:, None] * columns[None]  # [H, W, P]: a matrix product needs no gathers
    return jnp.einsum("bhwc,hwp->bpc", images, weights, precision=jax.lax.Precision.HIGHEST)


def _cubic_weights(
    place: Float[AnyArray, "points"], size: int
) -> Float[jax.Array, "{size} points"]:
    """Of `size` pixels, at their integer places, for the values at `place`."""
    distance = jnp.abs(place - jnp.arange(size)[:, None])
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights = jnp.where(distance < 1, near, jnp.where(distance < 2, far, 0.0))
    return weights / weights.sum(axis=0)


MAX_STRATIFIED = 46_340  # pixels of a stratified batch: its square must fit an int32


def draw_pixels(
    rng: PRNGKeyArray, count: Count, num: int, stratified: bool = False
) -> Int32[jax.Array, "{num}"]:
    """Indices of `num` random pixels of an image that has `count`.

    Uniform with replacement; or stratified: the image, row by row, is cut into `num` runs of
    equal length (of whole and broken pixels), and one pixel of each is drawn. That spreads a
    batch evenly over the image, so gradients are less noisy. Either way all pixels are drawn
    equally often.

    Raises:
      ValueError: a stratified batch of more than `MAX_STRATIFIED` pixels.
    """
    if not stratified:
        return jax.random.randint(rng, (num,), 0, count)
    if num > MAX_STRATIFIED:
        raise ValueError(f"a stratified batch has at most {MAX_STRATIFIED} pixels, not {num}")
    # floor((i + u) count / num), with whole numbers where float32 would not do.
    i = jnp.arange(num)
    whole = i * (count // num) + i * (count % num) // num
    broken = (i * (count % num) % num + jax.random.uniform(rng, (num,)) * count) / num
    return jnp.minimum(whole + jnp.floor(broken).astype(jnp.int32), count - 1)


@flax.struct.dataclass
class Target:
    """An image as the pixels that a machine learns.

    Images of different sizes can be stacked: `pixels` is padded to the largest.

    Attributes:
      pixels: colors in [-1, 1], row by row; those beyond height * width are unused.
      height, width: size in pixels.
    """

    pixels: Float32[AnyArray, "*images pixels channels"]
    height: np.integer | Integer[AnyArray, "*images"]
    width: np.integer | Integer[AnyArray, "*images"]

    @classmethod
    def stack(cls, images: list[Float[np.ndarray, "_height _width channels"]]) -> "Target":
        """Targets with a leading axis, from images in [0, 1] of equal channels."""
        most = max(image.shape[0] * image.shape[1] for image in images)
        pixels = np.zeros((len(images), most, images[0].shape[-1]), np.float32)
        for row, image in zip(pixels, images, strict=True):
            row[: image.shape[0] * image.shape[1]] = 2 * image.reshape(-1, image.shape[-1]) - 1
        heights, widths = np.array([image.shape[:2] for image in images], np.int32).T
        return cls(pixels, heights, widths)

    def draw(
        self, rng: PRNGKeyArray, num: int, stratified: bool = False
    ) -> Int32[jax.Array, "{num}"]:
        """Indices of `num` random pixels, as `draw_pixels` draws them."""
        return draw_pixels(rng, self.height * self.width, num, stratified)

    def at(
        self, index: Integer[AnyArray, "*points"]
    ) -> tuple[Float32[jax.Array, "*points 2"], Float32[AnyArray, "*points channels"]]:
        """Positions and colors of pixels."""
        return pixel_positions(index, self.height, self.width), self.pixels[index]
