"""Checkpoints of runs that are trained as one: each has its own, and they go on together."""

import contextlib

import jax
import numpy as np
import pytest

from dfm_flax.errors import DfmError
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.side_by_side import SideBySide
from dfm_flax.training.state import TrainState

PARTS = [slice(0, 2), slice(2, 3)]
HISTORY = [(5, [0.1, 0.2, 0.3]), (10, [0.4, 0.5, 0.6])]


def state(step=10, scale=1.0):
    params = {"kernel": scale * np.arange(12, dtype=np.float32).reshape(3, 2, 2)}
    rng = np.arange(6, dtype=np.uint32).reshape(3, 2)
    return TrainState(np.asarray(step, np.int32), rng, params, (np.full(3, step, np.int32),))


@pytest.fixture
def runs(tmp_path):
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(Checkpoints(tmp_path / name)))
            for name in ("a", "b")
        ]


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_each_run_has_its_own_and_all_are_restored_as_one(runs):
    together = SideBySide(runs, PARTS)
    template = state(0, 0.0)
    assert together.restore_newest(template) is None
    assert together.newest_step() is None
    together.save(10, state(), HISTORY)
    together.wait()
    restored, history = together.restore_newest(template)
    assert_equal(restored, state())
    assert history == HISTORY
    assert together.newest_step() == 10

    alone, history = runs[1].restore_newest(template.machines(PARTS[1]))
    assert alone.params["kernel"].tolist() == [[[8.0, 9.0], [10.0, 11.0]]]
    assert alone.rng.tolist() == [[4, 5]]
    assert alone.step == 10
    assert history == [(5, [0.3]), (10, [0.6])]


def test_runs_at_different_steps_do_not_go_on_as_one(runs):
    together = SideBySide(runs, PARTS)
    runs[0].save(10, state().machines(PARTS[0]), [])
    runs[0].wait()
    with pytest.raises(DfmError, match=r"different steps .*\[10\]"):
        together.restore_newest(state())
    runs[1].save(15, state(15).machines(PARTS[1]), [])
    runs[1].wait()
    with pytest.raises(DfmError, match=r"different steps .*\[10, 15\]"):
        together.restore_newest(state())
    assert together.newest_step() == 10
