import json

import pytest

from dfm_flax.config import load_config, override
from dfm_flax.sweeps.folder import Sweep


@pytest.fixture
def config():
    """config(*changes) is that of figure 5.1 with four cells of a small image, and changes."""

    def make(*changes):
        made = load_config("sweeps/figure_5_1")
        small = (
            "data.resize=24",
            "data.crop=24,24",
            "num_seeds=2",
            "grid.model.machine.depth=2,3",
            "grid.model.machine.width=2,4",
            "training.num_steps=20",
            "training.log_every=10",
            "training.checkpoint_every=10",
        )
        override(made, [*small, *changes])
        return made

    return make


@pytest.fixture
def finish():
    """finish(sweep, cell, mse) writes what the run of a cell leaves behind that is finished."""

    def write(sweep: Sweep, cell, mse=0.25):
        entries = [
            {"name": f"a_seed{s}", "image": "a", "seed": s, "percent": 5.0, "mse": mse, "psnr": p}
            for s, p in ((0, 20.0), (1, 21.0))
        ]
        folder = sweep.run_of(cell).folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(json.dumps(entries))

    return write
