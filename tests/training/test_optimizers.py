import numpy as np
import pytest
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.training.optimizers import check_optimizer, make_schedule


def settings(**changes):
    default = {
        "name": "adam",
        "b1": 0.9,
        "b2": 0.999,
        "learning_rate": 1e-2,
        "final_learning_rate": 1e-4,
        "schedule": "constant",
        "warmup_steps": 0,
    }
    return ConfigDict(default | changes)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", lambda t: np.full_like(t, 1e-2)),
        ("linear", lambda t: 1e-2 + t * (1e-4 - 1e-2)),
        ("cosine", lambda t: 1e-4 + (1e-2 - 1e-4) * (1 + np.cos(np.pi * t)) / 2),
    ],
)
def test_schedules(schedule, expected):
    schedule = make_schedule(settings(schedule=schedule), 100)
    steps = np.array([0, 10, 50, 100])
    np.testing.assert_allclose([schedule(step) for step in steps], expected(steps / 100), rtol=1e-5)


def test_warm_up_rises_to_the_learning_rate_and_then_decays_to_the_end():
    schedule = make_schedule(settings(schedule="linear", warmup_steps=20), 100)
    np.testing.assert_allclose(schedule(0), 0)
    np.testing.assert_allclose(schedule(10), 5e-3, rtol=1e-6)
    np.testing.assert_allclose(schedule(20), 1e-2, rtol=1e-6)
    np.testing.assert_allclose(schedule(100), 1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "adma"}, "optimizer.name='adma' is not one of adam"),
        ({"schedule": "cosin"}, "optimizer.schedule='cosin' is not one of constant"),
        ({"learning_rate": 0.0}, "learning rates"),
        ({"warmup_steps": 100}, "warmup_steps=100"),
        ({"b1": 1.0}, "b1=1.0, b2=0.999 must be from 0 to below 1"),
        ({"b2": -0.1}, "b1=0.9, b2=-0.1 must be from 0 to below 1"),
        ({"name": "soap"}, "needs optimizer.refresh_every"),
        ({"name": "soap", "refresh_every": 0}, "needs optimizer.refresh_every"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        check_optimizer(settings(**changes), 100)


@pytest.mark.parametrize(
    ("warmup", "num_steps", "said"),
    [(0, 0, "training.num_steps=0: train for 1 step"), (5, 5, "warmup_steps=5 leaves nothing of")],
)
def test_runs_without_steps_are_told_what_is_wrong(warmup, num_steps, said):
    with pytest.raises(UsageError, match=said):
        check_optimizer(settings(warmup_steps=warmup), num_steps)
