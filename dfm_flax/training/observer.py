"""What looks at a run every so many steps: metrics and pictures beyond those of its loss."""

import abc
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.registry import Registry
from dfm_flax.training.charts import Charts

# TensorBoard puts curves and pictures that are named so side by side, before all others.
AT_A_GLANCE = "at_a_glance/"


@dataclass(frozen=True)
class Observation:
    """What an observer saw.

    Attributes:
      metrics: numbers by name.
      figures: pictures in [0, 1] by name.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Float[np.ndarray, "_height _width _channels"]] = field(default_factory=dict)


class Observer(abc.ABC):
    """Looks at a run; made once for it, before it trains, and called every so many steps.

    Settings and data that it cannot use raise UsageError when it is made.

    Attributes:
      charts: of its metrics, for TensorBoard's page of custom scalars.
    """

    charts: ClassVar[Charts] = {}

    def __init__(self, config: ConfigDict):
        """Keeps the config of the run."""
        self.config = config

    @abc.abstractmethod
    def __call__(self, snapshot: Any) -> Observation:
        """Looks at what the run has learned by now; each task says what its snapshot holds."""


class Observers:
    """The observers of a run, as its config names them.

    Raises:
      UsageError: there is none of a name, it cannot be used, or `observe_every` makes no sense.
    """

    def __init__(self, registry: Registry[type[Observer]], config: ConfigDict):
        every, log_every = config.observe_every, config.training.log_every
        if config.observers and (every < 1 or every % log_every):
            raise UsageError(
                f"--config.observe_every={every} is not a multiple of "
                f"training.log_every={log_every}"
            )
        self._every = every
        self._observers = [registry.get(name)(config) for name in config.observers]

    @property
    def charts(self) -> Charts:
        """Those of all of them."""
        return {
            title: [AT_A_GLANCE + tag for tag in tags]
            for observer in self._observers
            for title, tags in observer.charts.items()
        }

    def due(self, step: int) -> bool:
        """Whether they look after that step."""
        return bool(self._observers) and step % self._every == 0

    def __call__(self, snapshot: Any) -> Observation:
        """What all of them see."""
        return _merged(observer(snapshot) for observer in self._observers)


def write_observation(writer: Any, step: int, seen: Observation) -> None:
    """Writes what observers saw to a metric writer of clu, where TensorBoard begins."""
    writer.write_scalars(step, {AT_A_GLANCE + name: v for name, v in seen.metrics.items()})
    writer.write_images(
        step, {AT_A_GLANCE + name: figure[None] for name, figure in seen.figures.items()}
    )


def _merged(observations: Iterable[Observation]) -> Observation:
    merged = Observation()
    for seen in observations:
        merged.metrics.update(seen.metrics)
        merged.figures.update(seen.figures)
    return merged
