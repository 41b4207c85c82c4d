"""What the thesis leaves open of compression: the start, the shape, and readings of its words.

    dfm sweep --config sweeps/thesis_compression --workdir runs/start        depth 4, width 9
    dfm sweep --config sweeps/thesis_compression:7x8 --workdir runs/start_7x8
    dfm sweep --config sweeps/thesis_compression:readings --workdir runs/readings_4x9

All that the thesis gives is held, see compress.py: Adam at a constant 1e-4, 64 random pixels a
step, all frequencies of zeros and ones. The starts: a deviation of 2e-1 to 2e-5 of all initial
weights, the scan having lost the exponent, and one of the first layer's own. The readings: the
part of a period that the image spans, and residual connections. What is reduced are the steps;
--config.training.num_steps=100000 --config.training.log_every=10000 takes five times as long. The
first layer's own deviation gives 2 dB, and all else less: docs/results/compression.md.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config

# Squares of deviations: of all layers, or of the first, the hidden and the last ones.
_ONE_FOR_ALL = ((4e-2,), (4e-4,), (2e-5,), (4e-6,), (4e-8,), (4e-10,))
_FIRST_OF_ITS_OWN = (
    (4.0, 4e-8, 4e-8),
    (4e-2, 4e-6, 4e-6),
    (4e-2, 4e-8, 4e-8),  # compress.py's
    (4e-2, 4e-10, 4e-10),
)
_LAST_OF_ITS_OWN = ((4e-8, 4e-8, 4e-2), (4e-8, 4e-8, 4e-4))


def get_config(what: str = "4x9") -> ConfigDict:
    config = load_config("compress")
    config.training.num_steps = 20_000
    config.training.log_every = 2_000
    config.training.checkpoint_every = 20_000
    machine = ConfigDict({"depth": (4,), "width": (9,)})
    if what == "readings":
        machine.extent = (0.16, 0.5, 1.0, 2.0)
        machine.residual = (True, False)
        machine.variances = ((4e-6,), (4e-8,))
    else:
        try:
            depth, width = map(int, what.split("x"))
        except ValueError as error:
            raise ValueError(
                f"sweeps/thesis_compression:{what}: there are readings, and DEPTHxWIDTH such as 7x8"
            ) from error
        machine.depth, machine.width = (depth,), (width,)
        machine.variances = _ONE_FOR_ALL + _FIRST_OF_ITS_OWN + _LAST_OF_ITS_OWN
    with config.unlocked():
        config.grid = ConfigDict({"model": {"machine": machine}})
    return config
