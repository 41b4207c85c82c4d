"""What a run of compression shows of itself while it trains."""

import math
from typing import ClassVar

import numpy as np

from dfm_flax.compression.observer import MachinesSnapshot
from dfm_flax.metrics.distortion import distortion
from dfm_flax.training.charts import Charts
from dfm_flax.training.observer import Observation, Observer

_SHOWN = 4  # machines: a picture of each takes a second or so
_GAIN = 10  # of errors, to be seen


class Reconstructions(Observer):
    """Pictures: the first machines' images, each beside its error times 10."""

    def __call__(self, snapshot: MachinesSnapshot) -> Observation:
        """See `Observer`."""
        figures = {}
        for index, job in enumerate(snapshot.jobs[:_SHOWN]):
            picture, original = snapshot.picture(index), job.image.pixels
            error = np.clip(_GAIN * np.abs(picture - original), 0, 1)
            figures[f"growing/{job.name}"] = np.concatenate([picture, error], axis=1)
        return Observation(figures=figures)


class Distortion(Observer):
    """Metrics: PSNR, SSIM and MS-SSIM of the whole images, of the first machines."""

    charts: ClassVar[Charts] = {
        "PSNR of whole images, dB": ["whole_psnr/"],
        "SSIM and MS-SSIM of whole images": ["whole_ssim/", "whole_ms_ssim/"],
    }

    def __call__(self, snapshot: MachinesSnapshot) -> Observation:
        """See `Observer`."""
        metrics = {}
        for index, job in enumerate(snapshot.jobs[:_SHOWN]):
            measured = distortion(job.image.pixels, snapshot.picture(index))
            for name in ("psnr", "ssim", "ms_ssim"):
                if math.isfinite(measured[name]):
                    metrics[f"whole_{name}/{job.name}"] = measured[name]
        return Observation(metrics=metrics)
