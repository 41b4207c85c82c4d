"""What observers of a run of compression look at, and ours by name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flax import linen as nn
from jaxtyping import Float32

from dfm_flax.compression.jobs import Job
from dfm_flax.models.rendering import render
from dfm_flax.registry import Registry
from dfm_flax.training.observer import Observer
from dfm_flax.training.state import TrainState


@dataclass(frozen=True, eq=False)
class MachinesSnapshot:
    """The machines of a run at some step.

    Attributes:
      machine: their structure.
      jobs: the image and seed of each.
      state: theirs, stacked.
    """

    machine: nn.Module
    jobs: Sequence[Job]
    state: TrainState

    def picture(self, index: int) -> Float32[np.ndarray, "height width channels"]:
        """What a machine makes of its image by now, in [0, 1]."""
        height, width = self.jobs[index].image.pixels.shape[:2]
        return render(self.machine, self.state.params_of(index), height, width)


OBSERVERS: Registry[type[Observer]] = Registry(
    "config: observer",
    {
        "reconstructions": "dfm_flax.compression.observers:Reconstructions",
        "distortion": "dfm_flax.compression.observers:Distortion",
    },
)
