import signal

import jax
import numpy as np
import pytest

from dfm_flax.data.images import Image
from dfm_flax.tasks.compress import make_machine
from dfm_flax.tasks.encoding.plan import plan
from dfm_flax.tasks.encoding.training import train
from dfm_flax.training import loop


@pytest.fixture
def images():
    x, y = np.meshgrid(np.linspace(0, 1, 24), np.linspace(0, 1, 16))
    colours = [0.5 + 0.5 * np.sin(5 * x), y, x * y]
    pixels = np.stack(colours, -1).astype(np.float32)
    return [Image(pixels, 255, "a"), Image(0.8 * pixels, 255, "b")]


def small():
    config = plan(400, 3, 250)
    config.model.update({"depth": 2, "width": 4})
    config.training.batch_size = 64
    return config


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path, images, monkeypatch):
    config = small()
    machine = make_machine(config, 3)
    arguments = config, machine, images, [900.0, 1_200.0]
    whole = train(*arguments, tmp_path / "whole")
    for last in (1, 3):  # dispatches before it stops: while there is noise, and after
        stops = iter([None] * last + [signal.SIGINT])
        with monkeypatch.context() as patched:
            patched.setattr(loop, "stop_requests", lambda stops=stops: Stop(stops))
            with pytest.raises(loop.Interrupted):
                train(*arguments, tmp_path / "parts")
    again = train(*arguments, tmp_path / "parts")
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    others = train(*arguments[:3], [900.0, 1_300.0], tmp_path / "parts")  # does not go on with it
    assert not np.array_equal(jax.tree.leaves(others[1])[-1], jax.tree.leaves(again[1])[-1])


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
