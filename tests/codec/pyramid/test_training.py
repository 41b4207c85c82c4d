import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.codec.pyramid import training
from dfm_flax.codec.pyramid.geometry import Pyramid
from dfm_flax.codec.pyramid.network import Network
from dfm_flax.codec.pyramid.start import start_floats
from dfm_flax.codec.pyramid.training import Batch, Target, rate_distortion_loss, train
from dfm_flax.training import loop

NETWORK, PYRAMID = Network(3, 3), Pyramid(16, 20, 0, 3)


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


@pytest.mark.slow
@pytest.mark.parametrize("dispatches", [1, 4])  # before and after the last part begins
def test_an_interrupted_run_goes_on_to_the_same_end(dispatches, tmp_path, photo, monkeypatch):
    monkeypatch.setattr(training, "_LOG_EVERY", 10)
    monkeypatch.setattr(training, "_CHECKPOINT_EVERY", 10)
    start = start_floats(NETWORK)
    arguments = photo(16, 20), NETWORK, PYRAMID, start, 0.3, 2e-3, Target(bits=600.0), 40
    whole = train(*arguments, tmp_path / "whole")
    stops = iter([None] * dispatches + [signal.SIGINT])
    with monkeypatch.context() as patched:
        patched.setattr(loop, "stop_requests", lambda: Stop(stops))
        with pytest.raises(loop.Interrupted):
            train(*arguments, tmp_path / "parts")
    again = train(*arguments, tmp_path / "parts")
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [grid.shape for grid in whole.grids] == PYRAMID.shapes
    assert all(np.array_equal(grid, np.rint(grid)) for grid in whole.grids)
    assert any(grid.any() for grid in whole.grids)
    assert whole.trade_off != pytest.approx(2e-3, rel=1e-3)  # it was steered


@pytest.mark.slow
def test_the_last_part_for_another_target(tmp_path, photo, monkeypatch):
    """The first part is taken from the folder, and the end is as if it had been trained again."""
    taken = []
    monkeypatch.setattr(training, "_shown", lambda progress: taken.append(progress.step) or {})
    arguments = photo(16, 20), NETWORK, PYRAMID, start_floats(NETWORK), 0.3, 2e-3
    arguments = *arguments, Target(bits=9000.0), 150
    once = train(*arguments, tmp_path / "a")
    assert taken == [50, 90, 100, 150]
    less = train(*arguments, tmp_path / "a", corrected=Target(bits=300.0))
    assert taken[4:] == [100, 150]
    alone = train(*arguments, tmp_path / "b", corrected=Target(bits=300.0))
    for a, b in zip(jax.tree.leaves(less), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(a, b)
    assert less.trade_off > 1.5 * once.trade_off


@pytest.mark.slow
def test_trainings_alike_are_compiled_once(tmp_path, photo, monkeypatch):
    """Of images of one size, for any rate; a quality is steered for by another step."""
    traced = []

    def counted(*arguments):
        loss = rate_distortion_loss(*arguments)
        return lambda *inputs: traced.append(arguments[2]) or loss(*inputs)

    monkeypatch.setattr(training, "rate_distortion_loss", counted)
    start = start_floats(NETWORK)
    shared = NETWORK, PYRAMID, start
    training._step.cache_clear()
    train(photo(16, 20), *shared, 0.3, 2e-3, Target(bits=600.0), 30, tmp_path)
    once = traced.copy()
    assert set(once) == {"bits"}
    train(photo(16, 20, levels=65535), *shared, 0.2, 1e-3, Target(bits=900.0), 30, tmp_path, seed=1)
    assert traced == once
    train(photo(16, 20), *shared, 0.3, 2e-3, Target(mse=1e-3), 30, tmp_path)
    assert set(traced) == {"bits", "mse"}
    training._step.cache_clear()


def test_other_settings_do_not_go_on_with_a_run(photo):
    image, start = photo(16, 20), start_floats(NETWORK)
    moved = dict(start, bias=start["bias"] + np.float32(1e-3))
    settings = [NETWORK, PYRAMID, start, 0.3, 2e-3, Target(bits=600.0), 40, 0]
    changed = [
        Network(3, 3, 1), Pyramid(16, 20, 1, 3), moved, 0.31, 2.1e-3, Target(mse=1e-3), 41, 1
    ]  # fmt: skip
    others = [
        (image, [*settings[:i], other, *settings[i + 1 :]]) for i, other in enumerate(changed)
    ]
    others += [(photo(20, 16), settings), (photo(16, 20, levels=65535), settings)]
    identities = {training._identity(image, *settings) for image, settings in others}
    own = training._identity(image, *settings)
    assert len({own, *identities}) == len(others) + 1
    assert own == training._identity(photo(16, 20), *settings)


@pytest.mark.parametrize(
    ("target", "step", "gradient"),
    [
        (Target(bits=1.0), 39, -1),  # far too many bits: a bit becomes worth more
        (Target(bits=1e9), 39, 1),
        (Target(mse=1e-9), 39, 1),
        (Target(mse=1e9), 39, -1),
        (Target(bits=1.0), 40, 0),  # it is measured at every second of 100 steps
        (Target(bits=1.0), 19, 0),  # not in the first fifth
        (Target(bits=1.0), 99, 0),  # nor in the last
        (Target(), 39, 0),
    ],
)
def test_lambda_moves_towards_the_target(photo, target, step, gradient):
    rng = np.random.default_rng(0)
    params = {
        "weights": start_floats(NETWORK),
        "grids": tuple(rng.normal(0, 1, shape).astype(np.float32) for shape in PYRAMID.shapes),
        "log_lambda": jnp.float32(-6.0),
    }
    colors = photo(16, 20).pixels.transpose(2, 0, 1)
    key = np.asarray(jax.random.PRNGKey(0))[None]
    numbers = np.asarray(0.3, np.float32), np.asarray(target.value, np.float32)
    batch = Batch(
        colors, PYRAMID.at_pixels(), params["weights"], *numbers, key, np.array([step], np.int32)
    )
    loss = rate_distortion_loss(NETWORK, 100, target.of)

    def of(log_lambda):
        return loss(params | {"log_lambda": log_lambda}, batch, jax.random.PRNGKey(0))

    (value, metrics), found = jax.jit(jax.value_and_grad(of, has_aux=True))(jnp.float32(-6.0))
    assert found == gradient
    assert metrics["lambda"] == pytest.approx(np.exp(-6), rel=1e-5)
    assert value == pytest.approx(
        float(metrics["mse"] + metrics["lambda"] * metrics["bpp"]), rel=1e-5
    )
