import numpy as np
import pytest
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.registry import Registry
from dfm_flax.training.observer import Observation, Observer, Observers


class Length(Observer):
    """How long the snapshot is."""

    def __call__(self, snapshot):
        return Observation(metrics={"length": len(snapshot) * self.config.factor})


class Picture(Observer):
    """A picture of the snapshot."""

    def __call__(self, snapshot):
        return Observation(figures={"picture": np.full((1, len(snapshot), 1), 0.5)})


REGISTRY: Registry = Registry(
    "config: observer", {"length": f"{__name__}:Length", "picture": f"{__name__}:Picture"}
)


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """pytest's importlib mode does not put test modules where an import path finds them."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())


def _this():
    module = type(np)(__name__)
    module.__dict__.update(globals())
    return module


def observers(names=("length", "picture"), every=20):
    config = ConfigDict({"observers": names, "observe_every": every, "factor": 2})
    config.training = ConfigDict({"log_every": 10})
    return Observers(REGISTRY, config)


def test_they_look_when_they_are_due_and_see_together():
    both = observers()
    assert [step for step in range(10, 70, 10) if both.due(step)] == [20, 40, 60]
    seen = both("abc")
    assert seen.metrics == {"length": 6}
    assert seen.figures["picture"].shape == (1, 3, 1)


def test_without_observers_nothing_is_due_and_no_schedule_is_asked_for():
    assert not observers((), every=7).due(7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 15}, "observe_every=15 is not a multiple of training.log_every=10"),
        ({"every": 0}, "observe_every=0"),
        ({"names": ("lenght",)}, "observer 'lenght' is not one of length, picture.*'length'"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        observers(**options)
