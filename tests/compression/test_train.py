import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest

from dfm_flax.compression import train as compress
from dfm_flax.compression.run import CompressionRun
from dfm_flax.config import load_config, override
from dfm_flax.models.machine import make_machine
from dfm_flax.training.feed import PixelFeed
from dfm_flax.training.optimizers import make_optimizer
from dfm_flax.training.state import initial_states
from dfm_flax.training.step import DEVICES


def config(tiny, *changes, base="compress"):
    made = load_config(base)
    override(made, [a.removeprefix("--config.") for a in (*tiny[1:], *changes)])
    return made


def test_psnr_of_loss():
    assert compress.psnr_of_loss(4.0) == 0  # black against white
    assert compress.psnr_of_loss(0.04) == pytest.approx(20)
    assert compress.psnr_of_loss(0.0) == math.inf


@pytest.mark.slow
def test_machines_trained_together_are_those_trained_alone(tiny, tmp_path):
    """Images of different sizes and seeds in one run, against a run for each."""
    rng = np.random.default_rng(0)
    for name, shape in (("a", (12, 20, 3)), ("b", (9, 5, 3))):
        PIL.Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(tmp_path / f"{name}.png")
    size = ("data.crop=()", "data.resize=0")
    files = [str(tmp_path / f"{name}.png") for name in "ab"]
    together = compress.train(
        config(tiny, *size, f"data.images={','.join(files)}", "num_seeds=2"), tmp_path / "all"
    )
    for index, (file, seed) in enumerate([(f, s) for f in files for s in (0, 1)]):
        (alone,) = compress.train(
            config(tiny, *size, f"data.images={file}", f"seed={seed}"), tmp_path / f"{index}"
        )
        assert alone["name"] == together[index]["name"]
        assert together[index]["psnr"] == pytest.approx(alone["psnr"], abs=0.02)


DIFFERENT = (
    (
        "optimizer.learning_rate=3e-3",
        "model.machine.variances=2e-5",
        "model.machine.normalize=False",
    ),
    ("optimizer.learning_rate=1e-3", "optimizer.b1=0.8", "optimizer.b2=0.99"),
    (
        "model.machine.variances=1e-2,2e-2,1e-2",
        "model.machine.normalize=True",
        "optimizer.final_learning_rate=1e-3",
    ),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "settings"),
    [
        (3, ("name=adam", "schedule=linear")),
        (2, ("name=soap", "schedule=cosine", "warmup_steps=4")),
    ],
)
def test_runs_that_differ_in_numbers_are_side_by_side_what_they_are_alone(
    tiny, tmp_path, count, settings
):
    base = ("num_seeds=2", "model.machine.depth=2", "training.num_steps=40")
    configs = []
    for changes in DIFFERENT[:count]:
        made = config(tiny)
        made.optimizer.refresh_every = 5
        override(made, [*base, *(f"optimizer.{setting}" for setting in settings), *changes])
        configs.append(made)
    folders = [tmp_path / str(i) for i in range(count)]
    entries = compress.train_side_by_side(configs, folders)
    curves = []
    for i, (made, folder) in enumerate(zip(configs, folders, strict=True)):
        own = entries[2 * i : 2 * i + 2]
        assert json.loads((folder / "results.json").read_text()) == own
        alone = compress.train(made, tmp_path / "alone" / str(i))
        assert [entry["name"] for entry in own] == [entry["name"] for entry in alone]
        psnrs = [[entry["psnr"] for entry in result] for result in (own, alone)]
        np.testing.assert_allclose(*psnrs, atol=0.02)
        curves.append(curve(tmp_path / "alone" / str(i)))
        np.testing.assert_allclose(curve(folder), curves[-1], rtol=1e-3)
    for a, b in itertools.combinations(curves, 2):
        assert np.abs(a[-1] / b[-1] - 1).max() > 0.01  # the numbers make that difference
    # Each is a run as any: finished, alone it only measures again, with the same results.
    assert compress.train(configs[1], folders[1]) == entries[2:4]


def curve(workdir):
    newest = max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
    progress = json.loads(next((newest / "progress").iterdir()).read_text())
    return np.array([losses for _, losses in progress["history"]])


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (300, 2, 3)])
def test_images_of_odd_shapes(tiny, tmp_path, shape):
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    PIL.Image.fromarray(image).save(tmp_path / "odd.png")
    changes = ("data.crop=()", "data.resize=0", f"data.images={tmp_path / 'odd.png'}")
    (result,) = compress.train(config(tiny, *changes), tmp_path / "run")
    assert math.isfinite(result["mse"])
    assert result["ms_ssim"] is None
    with PIL.Image.open(tmp_path / "run" / "reconstructions" / "odd_seed0.png") as picture:
        assert picture.size == (shape[1], shape[0])
        assert picture.mode == ("L" if len(shape) == 2 else "RGB")


@pytest.mark.slow
def test_the_best_config_learns_a_photo(tiny, tmp_path):
    """A picture of 64x64 in 300 steps; a network that learns nothing has about 12 dB."""
    sizes = ("data.resize=64", "data.crop=64,64", "training.batch_size=1024")
    steps = ("training.num_steps=300", "training.log_every=50", "training.checkpoint_every=300")
    made = load_config("compress_best:3500")
    override(made, [*sizes, *steps])
    (result,) = compress.train(made, tmp_path)
    assert result["weights"] <= 3500
    assert result["psnr"] > 22
    assert json.loads((tmp_path / "results.json").read_text()) == [result]


@pytest.mark.parametrize("precision", ["default", "high", "highest"])
def test_training_has_the_precision_of_the_config(tiny, precisions, precision):
    made = config(tiny, f"training.precision={precision}")
    machine = make_machine(made.model.machine, 3)
    run = object.__new__(CompressionRun)  # one that opens no images
    run.config, run.machine, run.jobs = made, machine, [None]
    step, numbers = compress._step_of_all([run])
    state = initial_states(machine, make_optimizer(made.optimizer, 60), [0])
    feed = PixelFeed.stack([np.zeros((4, 4, 3), np.float32)], 6, "uniform")
    feed, state = jax.tree.map(jnp.asarray, (feed, state))
    found = precisions(lambda _: step(state, (feed, numbers)), np.zeros(1), axis_env=[(DEVICES, 1)])
    assert found - {"HIGHEST"} == {precision.upper()} - {"HIGHEST"}
