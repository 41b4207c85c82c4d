"""The thesis's learning rates, those that weights really move at, and those in the log."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from dfm_flax.config import load_config, override
from dfm_flax.generation import train as generate
from dfm_flax.generation.learning_rates import make_learning_rates
from dfm_flax.generation.run import GenerationRun
from dfm_flax.training.optimizers import make_grouped_optimizer, make_schedule
from dfm_flax.training.step import first_replica

HALF = (1e-2 + 1e-7) / 2  # in the middle of a line from 1e-2 to 1e-7

# At the start, in the middle and at the end of a run.
MNIST = {
    # "Adam at a learning rate that falls linearly from 1e-2 to 1e-7"
    "decoder": (1e-2, HALF, 1e-7),
    # "the table's 100 (or 1000) times smaller"
    "table": (1e-4, HALF / 100, 1e-9),
}
CIFAR10 = {
    "decoder": (1e-2, HALF, 1e-7),
    # "the encoder's smaller by a ratio that rises linearly from 10 to 1000"
    "encoder": (1e-3, HALF / 505, 1e-10),
}
WANTED = {
    "mnist": MNIST,
    "mnist:variance": MNIST | {"table": (1e-5, HALF / 1000, 1e-10)},
    "cifar10": CIFAR10,
}


@pytest.mark.parametrize(("name", "wanted"), WANTED.items())
def test_learning_rates_are_the_thesiss(name, wanted):
    config = load_config(name)
    end = config.training.num_steps
    rates = make_learning_rates(config)
    assert rates.keys() == wanted.keys()
    for group, expected in wanted.items():
        found = [rates[group](step) for step in (0, end // 2, end)]
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["compress", "sweeps/figure_5_1"])
def test_compression_has_the_thesiss_constant_learning_rate(name):
    """ "Adam at a constant learning rate of 1e-4" """
    config = load_config(name)
    end = config.training.num_steps
    schedule = make_schedule(config.optimizer, end)
    np.testing.assert_allclose([schedule(step) for step in (0, end // 2, end)], 1e-4, rtol=1e-6)


@pytest.mark.parametrize(("name", "wanted"), WANTED.items())
def test_groups_move_at_their_own_learning_rates(name, wanted):
    """Adam's steps under a gradient of 1 are the learning rates, over a run of four steps."""
    config = load_config(name)
    override(config, ["training.num_steps=4"])
    optimizer = make_grouped_optimizer(config.optimizer, make_learning_rates(config))
    params = {group: np.ones(2, np.float32) for group in ("decoder", "encoder", "log_variance")}
    state = optimizer.init(params)
    moved = []
    for _ in range(5):
        updates, state = optimizer.update(params, state, params)
        moved.append({group: -float(update[0]) for group, update in updates.items()})
    for at, step in enumerate((0, 2, 4)):
        for group, rates in wanted.items():
            if group in params:
                assert moved[step][group] == pytest.approx(rates[at], rel=1e-4)
        # A parameter of no group of its own is the decoder's.
        assert moved[step]["log_variance"] == moved[step]["decoder"]
    if "encoder" in wanted:
        ratios = [step["decoder"] / step["encoder"] for step in moved]
        np.testing.assert_allclose(ratios, [10, 257.5, 505, 752.5, 1000], rtol=1e-4)


def biggest(before, after):
    """The largest change of a number in a tree."""
    changes = jax.tree.map(lambda a, b: np.abs(np.subtract(b, a, dtype=float)).max(), before, after)
    return max(jax.tree.leaves(changes))


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["dfm", "table"])
def test_the_logged_rates_are_those_that_the_weights_moved_at(
    small, tmp_path, monkeypatch, variant
):
    """With b1 = b2 = 0 a step of Adam is its learning rate, for each weight with a gradient."""
    log, logged, params = GenerationRun.log, {}, {}

    def look(run, progress):
        def write_scalars(step, scalars):
            logged[step] = {
                name.removeprefix("learning_rate/"): rate
                for name, rate in scalars.items()
                if name.startswith("learning_rate/")
            }

        state = first_replica(progress.state)
        parts = {**state.params} | ({"table": state.table.latents} if state.table else {})
        params[progress.step] = parts
        with monkeypatch.context() as patch:
            patch.setattr(run, "_writer", SimpleNamespace(write_scalars=write_scalars))
            return log(run, progress)

    monkeypatch.setattr(GenerationRun, "log", look)
    config = small(
        variant,
        *("training.num_steps=4", "training.log_every=1", "training.checkpoint_every=4"),
        *("observe_every=4", "observers=()", "optimizer.b1=0.0", "optimizer.b2=0.0"),
        *("optimizer.schedule=linear", "optimizer.warmup_steps=0", "optimizer.ema_decay=0.0"),
        *("optimizer.learning_rate=1e-2", "optimizer.latent_ratios=2.0,5.0"),
        *("model.activation=tanh", "training.batch_size=12"),
    )
    generate.train(config, tmp_path / "run")
    slow = "table" if variant == "table" else "encoder"
    expected = {1: (1e-2, 5e-3), 2: (7.5e-3, 7.5e-3 / 2.75), 3: (5e-3, 5e-3 / 3.5)}
    for step in (1, 2, 3):
        np.testing.assert_allclose([logged[step]["decoder"], logged[step][slow]], expected[step])
    for step in (2, 3, 4):
        for group in ("decoder", slow):
            moved = biggest(params[step - 1][group], params[step][group])
            assert moved == pytest.approx(logged[step][group], rel=2e-3)
