import numpy as np
import pytest

from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.codec.quantised import QuantisedImage
from dfm_flax.fourier import FourierMachine

MACHINES = {
    "best": {"depth": 4, "width": 6, "max_frequencies": (8, 1, 1), "additive": True},
    "thesis": {"depth": 3, "width": 4, "residual": True, "extent": 1.0},
    "two layers, grey": {"depth": 2, "width": 5, "channels": 1, "max_frequencies": (2, 1, 3)},
    "mixed": {
        "depth": 3,
        "width": 3,
        "max_frequencies": (1, 2, 3),
        "additive": (True, False, True),
    },
}


@pytest.fixture
def quantised():
    """quantised(name, seed): an image of random integers, 20 x 30."""

    def make(name="best", seed=0, **changes):
        machine = FourierMachine(
            **{"residual": False, "extent": float(np.float32(0.7))} | MACHINES[name]
        )
        rng = np.random.default_rng(seed)
        outputs = [machine.width] * (machine.depth - 1) + [machine.channels]
        integers = [
            np.rint(rng.normal(0, 4, (len(rows), n))).astype(np.int32)
            for rows, n in zip(row_groups(machine), outputs, strict=True)
        ]
        codes = rng.integers(30, 50, num_groups(machine), np.uint8)
        fields = {"height": 20, "width": 30, "levels": 255} | changes
        return QuantisedImage(**fields, machine=machine, step_codes=codes, integers=integers)

    make.names = list(MACHINES)
    return make
