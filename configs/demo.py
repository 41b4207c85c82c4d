"""The quick start: compress_best.py on a smaller picture, trained for less than a minute.

dfm train --config configs/demo.py --workdir runs/demo
"""

from pathlib import Path

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config() -> ConfigDict:
    best = Path(__file__).with_name("compress_best.py")
    config = load_config(f"{best}:10000").unlock()
    config.data.resize = 256
    config.data.crop = (256, 256)
    config.training.num_steps = 2_000
    config.training.batch_size = 4_096
    config.training.log_every = 100
    config.training.checkpoint_every = 500
    return config
