"""Where a step gets its batch from: the base of all feeds, and the pixels of an image."""

from typing import Any, Protocol, runtime_checkable

import flax.struct
import jax
import numpy as np
from jaxtyping import Float, Int32, Integer, PRNGKeyArray

from dfm_flax.data.positions import MAX_STRATIFIED, Target
from dfm_flax.errors import UsageError
from dfm_flax.typing import AnyArray, Count


@runtime_checkable
class Feed(Protocol):
    """The data of a run, a pytree that lies on every device, and how a step draws from it.

    A step draws what its whole batch consists of, the same on all devices and cheap, such as
    indices; it takes its device's shard of that, and has just this shard made into a batch. So
    the batch of a step depends on the random key alone, however many devices share it.
    """

    def draw(self, rng: PRNGKeyArray, step: Count) -> Any:
        """What the batch of a step consists of: arrays with a leading axis, the batch.

        Args:
          rng: random key of this step.
          step: steps done before it.
        """

    def at(self, drawn: Any) -> Any:
        """The batch of what was drawn, or of a shard of it: what a loss gets."""


@flax.struct.dataclass
class PixelBatch:
    """Some pixels.

    Attributes:
      positions: in the unit square.
      colors: in [-1, 1].
    """

    positions: Float[AnyArray, "*machines batch 2"]
    colors: Float[AnyArray, "*machines batch channels"]


@flax.struct.dataclass
class PixelFeed:
    """Random pixels of an image, see `Target.draw`.

    Attributes:
      target: the image.
      batch_size: pixels of a step.
      stratified: whether a batch is spread evenly over the image.
    """

    target: Target
    batch_size: int = flax.struct.field(pytree_node=False)
    stratified: bool = flax.struct.field(pytree_node=False, default=False)

    @classmethod
    def stack(
        cls,
        images: list[Float[np.ndarray, "_height _width channels"]],
        batch_size: int,
        sampling: str,
    ) -> "PixelFeed":
        """Feeds with a leading axis, from images in [0, 1] of equal channels.

        Args:
          sampling: 'uniform' or 'stratified'.
        """
        check_sampling(batch_size, sampling)
        return cls(Target.stack(images), batch_size, sampling == "stratified")

    def draw(self, rng: PRNGKeyArray, step: Count) -> Int32[jax.Array, "{self.batch_size}"]:
        """Indices of pixels."""
        return self.target.draw(rng, self.batch_size, self.stratified)

    def at(self, drawn: Integer[AnyArray, "batch"]) -> PixelBatch:
        """Their positions and colors."""
        return PixelBatch(*self.target.at(drawn))


def check_sampling(batch_size: int, sampling: str) -> None:
    """Raises UsageError for a way to draw pixels that there is not, or not for that many."""
    if sampling not in ("uniform", "stratified"):
        raise UsageError(f"training.sampling={sampling!r} is not one of uniform, stratified")
    if sampling == "stratified" and batch_size > MAX_STRATIFIED:
        raise UsageError(f"stratified batches have at most {MAX_STRATIFIED} pixels")
