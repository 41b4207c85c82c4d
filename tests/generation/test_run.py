"""Tests of a run of generation: what it is started with."""

import shutil

import numpy as np
import PIL.Image
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.generation.run import GenerationRun, start_run
from dfm_flax.generation.training_images import open_training_images
from dfm_flax.runs import Run


def test_a_relative_folder_of_images_is_found_from_anywhere(tmp_path, monkeypatch, small):
    (tmp_path / "pictures").mkdir()
    for i in range(4):
        picture = PIL.Image.fromarray(np.full((8, 8), i, np.uint8))
        picture.save(tmp_path / "pictures" / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    config = small("dfm", "data.name=folder:pictures", "training.batch_size=4")
    run = GenerationRun(config, "run")
    start_run(Run("run"), run.config, run.data)
    assert config.data.name == "folder:pictures"  # the caller's
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.move(tmp_path / "run", tmp_path / "elsewhere" / "moved")
    stored = Run("moved").config()
    assert open_training_images(Run("moved"), stored).num == 4
    monkeypatch.chdir(tmp_path)
    assert GenerationRun(config, "elsewhere/moved").data.num == 4  # it goes on


def test_a_place_of_a_user_is_told_before_the_images_are_read(tmp_path, small):
    (tmp_path / "data.json").write_text("mine")
    with pytest.raises(UsageError, match=r"no run is here, but data\.json"):
        GenerationRun(small("dfm", "data.name=folder:nowhere"), tmp_path)
