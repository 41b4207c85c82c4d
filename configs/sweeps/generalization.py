"""One architecture of 18% of the raw size on many images, beside JPEG of the same size.

    dfm sweep --config configs/sweeps/generalization.py --workdir runs/generalization \
        --config.data.images=FOLDER
    dfm sweep --config configs/sweeps/generalization.py:thesis ...    by the thesis's settings

The machine is that of compress_best.py, or of compress.py. What is reduced are the steps:
compress_best.py takes 10,000 and compress.py 100,000.
"""

from pathlib import Path

from ml_collections import ConfigDict

from dfm_flax.config import load_config

_STEPS = {"best": 1_500, "thesis": 10_000}


def get_config(variant: str = "best") -> ConfigDict:
    base = {"best": "compress_best.py", "thesis": "compress.py"}[variant]
    config = load_config(Path(__file__).parents[1] / base).unlock()
    config.data.images = ("sample:astronaut", "sample:coffee", "sample:rocket")
    config.training.num_steps = _STEPS[variant]
    config.training.log_every = _STEPS[variant] // 10
    config.training.checkpoint_every = _STEPS[variant] // 5

    config.grid = ConfigDict()
    config.grid.model = ConfigDict()
    config.grid.model.width = (config.model.width,)

    config.figures = ConfigDict({"jpeg": True})
    return config
