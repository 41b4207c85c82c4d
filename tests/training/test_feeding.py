"""Feeds that come to the devices at the start, or in pieces while the loop trains."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from dfm_flax.errors import DfmError
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.feeding import Stream
from dfm_flax.training.loop import Schedule, train
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import make_step, replicate

OPTIMIZER = optax.sgd(0.1)


@struct.dataclass
class Piece:
    """Numbers of some steps; each device has all."""

    numbers: jax.Array
    first: jax.Array

    def draw(self, rng, step):
        return jnp.repeat(self.numbers[step - self.first], 4)

    def at(self, drawn):
        return drawn


class Numbers:
    """A stream of step numbers, in pieces of at most three; what it gave is kept."""

    def __init__(self, bad=None):
        self.bad, self.given, self.closed = bad, [], False

    @contextlib.contextmanager
    def feeding(self, start):
        self.step = start
        self.example = self.piece()
        try:
            yield self
        finally:
            self.closed = True

    def piece(self):
        numbers = np.arange(self.step, self.step + 3, dtype=np.float32)
        numbers[numbers == self.bad] = np.nan
        return replicate(Piece(numbers, np.int32(self.step)))

    def next(self, most):
        piece, count = self.piece(), min(most, 3)
        self.given.append((self.step, count))
        self.step += count
        return piece, count


class Kept(Checkpoints):
    """Checkpoints in memory."""

    def __init__(self, state=None):
        self.saved = [] if state is None else [(state, [])]

    def restore_newest(self, template):
        return self.saved[-1] if self.saved else None

    def save(self, step, state, history):
        self.saved.append((state, list(history)))

    def wait(self):
        pass

    def newest_step(self):
        return None


def loss(params, batch, rng):
    error = jnp.mean(batch * params["w"])
    return error, {"number": jnp.mean(batch)}


def initial():
    state = TrainState.create(jax.random.PRNGKey(0), {"w": jnp.ones(())}, OPTIMIZER)
    return jax.tree.map(np.array, state)


def test_the_loop_takes_each_step_with_its_own_piece():
    stream, logged = Numbers(), []
    assert isinstance(stream, Stream)
    schedule = Schedule(num_steps=12, log_every=5, checkpoint_every=5)
    state, history = train(
        make_step(loss, OPTIMIZER),
        initial(),
        stream,
        schedule,
        Kept(),
        curve="number",
        on_log=lambda progress: logged.append(progress) or {},
    )
    assert stream.given == [(0, 3), (3, 2), (5, 3), (8, 2), (10, 2)]
    assert stream.closed
    # Gradients are the numbers 0 to 11.
    np.testing.assert_allclose(state.params["w"], 1 - 0.1 * 66, rtol=1e-6)
    assert history == [(5, [2.0]), (10, [7.0]), (12, [10.5])]
    assert [progress.step for progress in logged] == [5, 10, 12]
    for progress in logged:
        assert progress.seconds["input"] >= 0
        assert progress.seconds["steps"] > 0
        taken = 5 if progress.step < 12 else 2
        together = progress.seconds["input"] + progress.seconds["steps"]
        assert progress.steps_per_second == pytest.approx(taken / together)


def test_it_goes_on_at_the_step_of_the_checkpoint():
    stream = Numbers()
    saved = initial().replace(step=np.int32(10))
    train(make_step(loss, OPTIMIZER), initial(), stream, Schedule(14, 5, 5), Kept(saved))
    assert stream.given == [(10, 3), (13, 1)]


@pytest.mark.parametrize("bad", [1, 4])
def test_a_loss_that_is_not_finite_is_found_in_any_piece(bad):
    stream = Numbers(bad)
    with pytest.raises(DfmError, match=f"loss at step {bad} is not finite"):
        train(make_step(loss, OPTIMIZER), initial(), stream, Schedule(6, 6, 6), Kept())
    assert stream.closed
