"""The images of a run: in memory or streamed, and the part of a stream that is looked at."""

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest

from dfm_flax.data import feed_choice
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.evaluation import classifier_features
from dfm_flax.generation import run as generation_run
from dfm_flax.generation.generator import make_generator
from dfm_flax.generation.sampling import load_generator
from dfm_flax.generation.train import initial_state, train
from dfm_flax.generation.training_images import open_training_images
from dfm_flax.runs import Run
from dfm_flax.training.checkpoints import Checkpoints

DIGITS = load_image_set("digits").images


def started(folder, config):
    """A run that has not been trained at all, with the checkpoint of step 0."""
    run = Run(folder)
    data = open_training_images(run, config)
    state, _ = initial_state(make_generator(config, data.shape), config, data.shape, data.num)
    generation_run.start_run(run, config, data)
    checkpoints = Checkpoints(run.checkpoints)
    checkpoints.save(0, state, [])
    checkpoints.close()
    return state


@pytest.mark.parametrize("variant", ["dfm", "table"])
def test_a_generator_looks_at_a_part_of_a_stream(tmp_path, small, monkeypatch, variant):
    monkeypatch.setattr(feed_choice, "_MOST_IMAGES", 50)
    state = started(tmp_path / "stream", small(variant, "data.feed=stream"))
    whole = load_generator(tmp_path / "stream")
    started(tmp_path / "device", small(variant, "data.feed=device"))
    resident = load_generator(tmp_path / "device")
    index = np.arange(50) * 1797 // 50
    np.testing.assert_array_equal(whole.images, DIGITS[index])
    np.testing.assert_array_equal(resident.images, DIGITS)
    np.testing.assert_allclose(whole.latents, resident.latents[index], atol=1e-5)
    if variant == "table":
        np.testing.assert_array_equal(whole.latents, state.table.latents[index])
    # The ends of an interpolation may be any images of the set.
    ends = whole.interpolate(3, 1796, 2)
    np.testing.assert_allclose(ends, resident.reconstruct_training([3, 1796]), atol=1e-3)
    with pytest.raises(UsageError, match="images 0 to 1796"):
        whole.interpolate(3, 1797, 2)


def test_a_set_that_changed_is_refused(tmp_path, small):
    for i in range(6):
        PIL.Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
    config = small("dfm", f"data.name=folder:{tmp_path}", "data.feed=stream")
    started(tmp_path / "run", config)
    assert load_generator(tmp_path / "run").images.mean() == 2.5
    (tmp_path / "5.png").unlink()
    with pytest.raises(UsageError, match="was started with other images than"):
        open_training_images(Run(tmp_path / "run"), config)


def test_a_run_goes_on_with_the_feed_that_it_was_started_with(tmp_path, small, monkeypatch):
    for i in range(6):
        PIL.Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
    config = small("dfm", f"data.name=folder:{tmp_path}")
    with monkeypatch.context() as patch:
        patch.setattr(feed_choice, "budget", lambda: (1, "a byte"))
        started(tmp_path / "streamed", config)
        data = open_training_images(Run(tmp_path / "streamed"), config)
        assert (data.feed.streams, data.source is None) == (True, False)
    assert open_training_images(Run(tmp_path / "streamed"), config).feed.streams
    started(tmp_path / "resident", config)
    monkeypatch.setattr(feed_choice, "budget", lambda: (1, "a byte"))
    data = open_training_images(Run(tmp_path / "resident"), config)
    assert (data.feed.streams, data.feed.reason) == (False, "as the run was started")


@pytest.mark.slow
def test_a_streamed_run_is_the_run_on_the_devices(tmp_path, runs, small, caplog, monkeypatch):
    """The final state bit for bit, with all observers; its place is the first line of the log."""
    recipe = dataclasses.replace(classifier_features.RECIPE, num_steps=20, width=4)
    monkeypatch.setattr(classifier_features, "RECIPE", recipe)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # of the cache of classifiers
    changes = ("observers=reconstructions,samples,held_out,frechet", "data.split=train")
    resident = runs("table", *changes)  # what has a classifier afterwards, which is told too
    caplog.set_level("INFO", "dfm_flax")
    caplog.clear()
    train(small("table", *changes, "data.feed=stream", "data.workers=0"), tmp_path / "run")
    assert caplog.messages[0] == "images are streamed from the disk (config.data.feed=stream)"
    leaves = []
    for folder in (tmp_path / "run", resident):
        file = folder / "checkpoints" / "60" / "progress" / "metadata"
        leaves.append(json.loads(file.read_text())["leaves"])
    assert leaves[0] == leaves[1]
