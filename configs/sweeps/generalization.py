"""One architecture of 18% of the raw size on many images, beside JPEG of the same size.

    dfm sweep --config sweeps/generalization --workdir runs/generalization \
        --config.data.images=FOLDER
    dfm sweep --config sweeps/generalization:thesis ...    by the thesis's settings

The machine is that of compress_best.py, or of compress.py. What is reduced are the steps:
compress_best.py takes 10,000 and compress.py 100,000. On 20 images of ImageNet the means are
29.2 dB, 17.9 dB by the thesis's settings (--config.model.machine.variances=2e-5), and 44.3 dB for
JPEG: docs/results/thesis.md.
"""

from ml_collections import ConfigDict

from dfm_flax.config import load_config


def get_config(variant: str = "best") -> ConfigDict:
    base, steps = {"best": ("compress_best", 1_500), "thesis": ("compress", 10_000)}[variant]
    config = load_config(base)
    config.data.images = ("sample:astronaut", "sample:coffee", "sample:rocket")
    config.training.num_steps = steps
    config.training.log_every = steps // 10
    config.training.checkpoint_every = steps // 5
    config.observe_every = steps // 5
    with config.unlocked():
        width = config.model.machine.width
        config.grid = ConfigDict({"model": {"machine": {"width": (width,)}}})
        config.figures = ConfigDict({"jpeg": True})
    return config
