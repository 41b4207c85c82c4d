import signal

import jax
import numpy as np
import pytest

from dfm_flax.codec.plan import plan
from dfm_flax.codec.train import _identity, train
from dfm_flax.data.images import Image
from dfm_flax.models.machine import make_machine
from dfm_flax.training import loop


@pytest.fixture
def images():
    x, y = np.meshgrid(np.linspace(0, 1, 24), np.linspace(0, 1, 16))
    colors = [0.5 + 0.5 * np.sin(5 * x), y, x * y]
    pixels = np.stack(colors, -1).astype(np.float32)
    return [Image(pixels, 255, "a"), Image(0.8 * pixels, 255, "b")]


def small():
    config = plan(600, 3, 250)
    config.model.machine.update({"depth": 2, "width": (4,)})
    config.optimizer.name = "adam"  # compiles faster
    config.training.batch_size = 64
    return config


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, images, monkeypatch):
    config = small()
    arguments = config, make_machine(config.model.machine, 3), images, [900.0, 1_200.0]
    whole = train(*arguments, tmp_path / "whole")
    stops = iter([None, signal.SIGINT])  # after the first of two dispatches under noise
    with monkeypatch.context() as patched:
        patched.setattr(loop, "stop_requests", lambda: Stop(stops))
        with pytest.raises(loop.Interrupted):
            train(*arguments, tmp_path / "parts")
    again = train(*arguments, tmp_path / "parts")
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_settings_do_not_go_on_with_a_run(images):
    config, other = small(), small()
    other.optimizer.learning_rate = 1e-3
    identities = {
        _identity(config, images, [900.0], 0),
        _identity(other, images, [900.0], 0),
        _identity(config, images, [901.0], 0),
        _identity(config, images[:1], [900.0], 0),
        _identity(config, images, [900.0], 1),
    }
    assert len(identities) == 5
    assert _identity(small(), images, [900.0], 0) in identities


class Stop:
    """Stands for `stop_requests`: asks to stop when its numbers say so, and goes on doing so."""

    def __init__(self, numbers):
        self.numbers, self.number = numbers, None

    def __enter__(self):
        return self.ask

    def __exit__(self, *_):
        return None

    def ask(self):
        self.number = self.number or next(self.numbers, None)
        return self.number
