"""The configs for 8 GPUs on sets of their images' shape: that they train, from a stream too.

Here with few steps and images; the models are the configs' own.
"""

import json

import numpy as np
import PIL.Image
import pytest

from dfm_flax.config import load_config, override
from dfm_flax.tasks import train


@pytest.mark.slow
@pytest.mark.parametrize("name", ["celeba64", "imagenet64:table"])
def test_it_trains_on_a_set_of_its_shape(tmp_path, name):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(24):
        # CelebA's pictures are 178 x 218.
        image = PIL.Image.fromarray(rng.integers(0, 256, (218, 178, 3), np.uint8))
        image.save(tmp_path / "images" / f"{i:02}.png")
    config = load_config(name)
    changes = ["training.num_steps=6", "training.batch_size=12", "training.log_every=3"]
    changes += ["training.checkpoint_every=6", "optimizer.warmup_steps=2", "data.workers=0"]
    changes += [f"data.name=folder:{tmp_path / 'images'}", "data.split=all", "data.feed=stream"]
    override(config, [*changes, "observers="])
    (result,) = train(config, tmp_path / "run")
    assert result["steps"] == 6
    assert 0 < result["mse"] < 1
    assert json.loads((tmp_path / "run" / "data.json").read_text())["shape"] == [24, 64, 64, 3]
