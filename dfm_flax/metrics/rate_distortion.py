"""Rate-distortion curves, and how far one is below another."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Point:
    """One file: bits per pixel, PSNR in dB, and MS-SSIM (NaN for small images)."""

    bpp: float
    psnr: float
    ms_ssim: float


def frontier(points: list[Point]) -> list[Point]:
    """The points that no other has both a lower rate and a higher PSNR than, by rate."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.bpp, -point.psnr)):
        if not kept or point.psnr > kept[-1].psnr:
            kept.append(point)
    return kept


def mean_curve(
    curves: list[list[Point]], rates: Float[np.ndarray, "rates"]
) -> Float[np.ndarray, "rates 2"]:
    """Mean over images of PSNR and MS-SSIM at given rates.

    Between its points a curve is a line over the logarithm of the rate; where one of the
    images has none on both sides, the mean is NaN.
    """
    means = []
    for curve in map(frontier, curves):
        logs = np.log([point.bpp for point in curve])
        values = [
            np.interp(np.log(rates), logs, column, left=np.nan, right=np.nan)
            for column in zip(*((point.psnr, point.ms_ssim) for point in curve), strict=True)
        ]
        means.append(np.stack(values, axis=-1))
    return np.mean(means, axis=0)


def rate_at(curve: list[Point], quality: float) -> float:
    """Bits per pixel at which a curve has a PSNR in dB; NaN beyond its ends.

    Between its points a curve is a line over the logarithm of the rate.
    """
    best = frontier(curve)
    logs = np.log([point.bpp for point in best])
    psnrs = [point.psnr for point in best]
    return float(np.exp(np.interp(quality, psnrs, logs, left=np.nan, right=np.nan)))


def bd_rate(anchor: list[Point], test: list[Point]) -> float:
    """Bjontegaard's rate difference of `test` to `anchor` at equal PSNR, in percent.

    Negative where `test` takes less. NaN where it is not defined: with fewer than four
    points, or no PSNR in common.
    """
    import bjontegaard

    anchor, test = frontier(anchor), frontier(test)
    if min(len(anchor), len(test)) < 4:
        return np.nan
    if anchor[0].psnr >= test[-1].psnr or test[0].psnr >= anchor[-1].psnr:
        return np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of curves that overlap in part
        return float(
            bjontegaard.bd_rate(
                [point.bpp for point in anchor],
                [point.psnr for point in anchor],
                [point.bpp for point in test],
                [point.psnr for point in test],
                method="pchip",
                require_matching_points=False,
            )
        )
