import json
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest

from dfm_flax.config import override
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.generation import run as generation_run
from dfm_flax.generation import train as generate
from dfm_flax.generation import training_images
from dfm_flax.generation.feed import ImageFeed
from dfm_flax.generation.generator import ImageShape, make_generator
from dfm_flax.generation.sampling import load_generator
from dfm_flax.runs import Run
from dfm_flax.training.checkpoints import restore_parts
from dfm_flax.training.loop import Interrupted
from dfm_flax.training.step import DEVICES


def final(folder):
    """Of the newest checkpoint: the digest of the whole state, and the curve."""
    newest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    progress = json.loads(next((newest / "progress").iterdir()).read_text())
    assert newest.name == "60"
    return progress["digest"], progress["history"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant", [("dfm",), ("grids", "model.cells=2"), ("table",), ("vae",), ("autoencoder",)]
)
def test_each_model_learns(runs, variant):
    folder = runs(*variant)
    _, history = final(folder)
    assert history[-1][1][0] < history[0][1][0]
    (result,) = json.loads((folder / "results.json").read_text())
    assert result["steps"] == 60
    assert result["epochs"] == pytest.approx(60 * 16 / 1797)
    images = load_image_set("digits").images
    drawn = load_generator(folder).reconstruct_training(np.arange(len(images)))
    assert result["mse"] == pytest.approx(np.mean((drawn - images / 255) ** 2), rel=1e-4)
    assert list(folder.glob("events.out.tfevents*"))


@pytest.mark.slow
def test_stopped_in_between_the_run_ends_bit_identical(runs, small, tmp_path, monkeypatch):
    def stop(loss):
        signal.raise_signal(signal.SIGTERM)
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(generation_run, "psnr_of_loss", stop)
        with pytest.raises(Interrupted, match="at step 20"):
            generate.train(small("table"), tmp_path)
    generate.train(small("table"), tmp_path)
    assert final(tmp_path) == final(runs("table"))


@pytest.mark.slow
def test_a_dense_table_is_read_as_it_is_at_the_step_and_goes_on_bit_identical(
    small, tmp_path, monkeypatch
):
    """Looking at rows, whenever, changes nothing; what is read has coasted to the last step."""
    config = small("table", "optimizer.table_adam=dense")

    def stop(loss):
        signal.raise_signal(signal.SIGTERM)
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(generation_run, "psnr_of_loss", stop)
        with pytest.raises(Interrupted, match="at step 20"):
            generate.train(config, tmp_path / "stopped")
    load_generator(tmp_path / "stopped").sample(2, "normal")
    generate.train(config, tmp_path / "stopped")
    generate.train(config, tmp_path / "whole")
    assert final(tmp_path / "stopped") == final(tmp_path / "whole")

    generator = load_generator(tmp_path / "whole")
    template = {"table": {"latents": np.zeros(generator.latents.shape, np.float32)}}
    _, parts = restore_parts(generator.run.checkpoints, template)
    rows_that_coasted = (parts["table"]["latents"] != generator.latents).any(axis=1)
    assert 0.1 < rows_that_coasted.mean() < 1
    images = load_image_set("digits").images
    drawn = generator.reconstruct_training(np.arange(len(images)))
    (result,) = json.loads((tmp_path / "whole" / "results.json").read_text())
    assert result["mse"] == pytest.approx(np.mean((drawn - images / 255) ** 2), rel=1e-4)


@pytest.mark.slow
def test_a_finished_run_gives_its_results_again_and_no_other_config(runs, small):
    folder = runs("dfm")
    before = json.loads((folder / "results.json").read_text())
    assert generate.train(small("dfm"), folder) == before
    with pytest.raises(UsageError, match=r"loss.latent_penalty: 0.001 -> 2.0"):
        generate.train(small("dfm", "loss.latent_penalty=2"), folder)


@pytest.mark.slow
def test_a_run_of_another_model_is_told_in_one_line_and_kept(runs, small, tmp_path):
    """As if config.json had been written anew over the checkpoints."""
    shutil.copytree(runs("dfm"), tmp_path / "run")
    config = small("dfm", "model.hidden=32")
    Run(tmp_path / "run").write_config(config)
    before = sorted((tmp_path / "run").rglob("*"))
    with pytest.raises(UsageError, match=r"a checkpoint of another model: .* restore the config"):
        generate.train(config, tmp_path / "run")
    after = sorted((tmp_path / "run").rglob("*"))
    assert [path for path in after if "tfevents" not in path.name] == [
        path for path in before if "tfevents" not in path.name
    ]


@pytest.mark.slow
def test_other_images_under_the_same_name_are_refused(runs, small, monkeypatch):
    folder = runs("dfm")
    changed = load_image_set("digits")
    changed.images[3, 2, 1] ^= 1
    monkeypatch.setattr(training_images, "load_image_set", lambda **settings: changed)
    with pytest.raises(UsageError, match="started with other images"):
        generate.train(small("dfm"), folder)


@pytest.mark.slow
def test_more_devices_give_the_same_curve(dfm, small_arguments, tmp_path):
    """With a table, whose copies on the devices must stay equal."""
    arguments = ("train", "--config=digits:table", *small_arguments)
    curves = []
    for devices in (1, 2, 4):
        dfm(*arguments, f"--workdir={tmp_path / str(devices)}", devices=devices, check=0)
        curves.append(np.array([losses for _, losses in final(tmp_path / str(devices))[1]]))
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-4)
    np.testing.assert_allclose(curves[2], curves[0], rtol=1e-4)


@pytest.mark.parametrize("precision", ["default", "high", "highest"])
def test_training_has_the_precision_of_the_config(small, precisions, precision):
    config, shape = small("dfm", f"training.precision={precision}"), ImageShape(8, 8, 1)
    model = make_generator(config, shape)
    state, order = generate.initial_state(model, config, shape, 50)
    feed = ImageFeed(np.zeros((50, 8, 8, 1), np.uint8), order, 16, config.model.latent_size)
    step = generate.make_generation_step(model, config)
    feed, state = jax.tree.map(jnp.asarray, (feed, state))
    found = precisions(lambda _: step(state, feed), np.zeros(1), axis_env=[(DEVICES, 1)])
    assert found - {"HIGHEST"} == {precision.upper()} - {"HIGHEST"}


def test_a_table_larger_than_memory_is_refused(small, tmp_path, monkeypatch):
    memory = type("Memory", (), {"available": 10_000})()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(UsageError, match=r"a table of 1797 latents of 4 .* bytes"):
        generate.train(small("table"), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("observe_every=30", "not a multiple"),
        ("optimizer.latent_ratios=1.0,-1.0", "two positive numbers"),
        ("optimizer.table_adam=sparse", "not one of rows, dense"),
        ("training.precision=tf32", "'tf32' is not one of default, high, highest"),
        ("data.name=digit", "digit"),
        ("optimizer.ema_decay=1.5", "ema_decay"),
        ("model.hidden=16,0", r"model.hidden=\(16, 0\): each layer has 1 unit or more"),
        ("model.variance=-1.0", "model.variance=-1.0: 0 or more"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(small, tmp_path, change, message):
    config = small()
    override(config, [change])
    with pytest.raises(UsageError, match=message):
        generate.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
