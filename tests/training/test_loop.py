import signal

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.loop import Interrupted, Schedule, train
from dfm_flax.training.state import TrainState


def step(state, data):
    """Counts up; each of two models has as its loss a row of `data` at the step."""
    loss = data[:, state.step]
    return state.replace(step=state.step + 1, params=state.params + loss), {"loss": loss}


def initial():
    rng = np.zeros((2, 2), np.uint32)
    state = TrainState.create(rng, np.zeros(2, np.float32), optax.identity())
    return state.replace(step=np.zeros((), np.int32))


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path / "c", 3)
    yield made
    made.close()


def run(data, checkpoints, schedule, on_log=lambda progress: {}):
    return train(step, initial(), data, schedule, checkpoints, names=["a", "b"], on_log=on_log)


DATA = np.random.default_rng(0).random((2, 40)).astype(np.float32)


def test_the_curve_is_the_mean_since_the_entry_before(checkpoints):
    seen = []
    _, history = run(DATA, checkpoints, Schedule(38, 10, 20), lambda p: seen.append(p) or {})
    assert [at for at, _ in history] == [10, 20, 30, 38] == [p.step for p in seen]
    np.testing.assert_allclose(history[1][1], DATA[:, 10:20].mean(1), rtol=1e-6)
    np.testing.assert_allclose(history[3][1], DATA[:, 30:38].mean(1), rtol=1e-6)
    assert checkpoints.newest_step() == 38


def test_a_nan_names_model_and_step_and_keeps_the_last_good_checkpoint(checkpoints):
    data = DATA.copy()
    data[1, 23] = np.nan
    with pytest.raises(DfmError, match=r"loss of b at step 23 is not finite.* step 20 is kept"):
        run(data, checkpoints, Schedule(40, 5, 10))
    state, history = checkpoints.restore_newest(initial())
    assert state.step == 20
    assert np.isfinite(state.params).all()
    assert history[-1][0] == 20


def test_a_weight_that_overflows_is_noticed_though_the_loss_is_finite(checkpoints):
    data = np.full((2, 40), 3e38, np.float32)
    data[0] = 1
    with pytest.raises(DfmError, match=r"a weight at or before step 5 .* no checkpoint was due"):
        run(data, checkpoints, Schedule(40, 5, 10))


def test_a_loss_without_the_metric_of_the_curve_is_refused_after_one_dispatch(checkpoints):
    with pytest.raises(UsageError, match="gives the metrics loss, and lacks 'mse'"):
        train(step, initial(), DATA, Schedule(40, 5, 10), checkpoints, curve="mse")
    assert checkpoints.newest_step() is None


def test_a_finished_run_is_not_trained_again(checkpoints):
    first, history = run(DATA, checkpoints, Schedule(40, 10, 20))
    again, same = run(jnp.full_like(DATA, jnp.nan), checkpoints, Schedule(40, 10, 20))
    np.testing.assert_array_equal(first.params, again.params)
    assert history == same


def test_a_signal_saves_off_schedule_and_the_run_goes_on_to_the_same_end(tmp_path, checkpoints):
    def interrupt(progress):
        if progress.step == 15:
            signal.raise_signal(signal.SIGTERM)
        return {}

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped by SIGTERM at step 15") as raised:
        run(DATA, checkpoints, Schedule(40, 5, 20), interrupt)
    assert raised.value.exit_code == 75
    assert signal.getsignal(signal.SIGTERM) is handler
    assert checkpoints.newest_step() == 15
    resumed = run(DATA, checkpoints, Schedule(40, 5, 20))
    whole = Checkpoints(tmp_path / "whole")
    expected = run(DATA, whole, Schedule(40, 5, 20))
    whole.close()
    np.testing.assert_array_equal(resumed[0].params, expected[0].params)
    assert resumed[1] == expected[1]


def test_a_signal_in_the_last_steps_is_no_less_a_request_to_stop(checkpoints):
    def interrupt(progress):
        if progress.step == 40:
            signal.raise_signal(signal.SIGINT)
        return {}

    with pytest.raises(Interrupted, match="stopped by SIGINT at step 40") as raised:
        run(DATA, checkpoints, Schedule(40, 5, 20), interrupt)
    assert raised.value.exit_code == 130
    assert checkpoints.newest_step() == 40


@pytest.mark.parametrize("numbers", [(0, 1, 1), (10, 0, 1), (10, 3, 10), (10, 5, 0), (2**31, 1, 1)])
def test_schedules_that_make_no_sense(numbers):
    with pytest.raises(UsageError):
        Schedule(*numbers)
