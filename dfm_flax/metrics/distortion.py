"""Distortion of one reconstruction, and the two sizes it is set against.

Images are [H, W, C] with values in [0, 1]; everything is computed in float64. The structural
metrics treat each channel as an image of its own and average over channels.
"""

import math

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

WINDOW_RADIUS = 5  # an 11 x 11 window
WINDOW_SIGMA = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first

SSIM_MIN_SIDE = 2 * WINDOW_RADIUS + 1
MS_SSIM_MIN_SIDE = (SSIM_MIN_SIDE - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1  # 161 pixels


def mse(original: ArrayLike, reconstruction: ArrayLike) -> float:
    """Mean squared error over pixels and channels of two [H, W, C] images.

    Raises:
      ValueError: the shapes differ or are not [H, W, C].
    """
    a, b = _pair(original, reconstruction)
    return float(np.mean((a - b) ** 2))


def psnr(original: ArrayLike, reconstruction: ArrayLike) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1; infinite for equal images.

    Raises:
      ValueError: the shapes differ or are not [H, W, C].
    """
    error = mse(original, reconstruction)
    return math.inf if error == 0 else -10 * math.log10(error)


def psnr_of_loss(loss: float | np.floating) -> float:
    """PSNR in dB of a mean squared error between colors in [-1, 1], as in training."""
    return 10 * math.log10(4 / loss) if loss > 0 else math.inf


def ssim(original: ArrayLike, reconstruction: ArrayLike) -> float:
    """Structural similarity as in Wang et al. 2004: Gaussian 11 x 11 window, sigma 1.5.

    NaN where a side is under 11 pixels, because the window does not fit.

    Raises:
      ValueError: the shapes differ or are not [H, W, C].
    """
    a, b = _pair(original, reconstruction)
    if min(a.shape[:2]) < SSIM_MIN_SIDE:
        return math.nan
    return float(
        structural_similarity(
            a,
            b,
            data_range=1,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=WINDOW_SIGMA,
            use_sample_covariance=False,
        )
    )


def ms_ssim(original: ArrayLike, reconstruction: ArrayLike) -> float:
    """Multi-scale structural similarity as in Wang et al. 2003: five scales, halved each time.

    Only whole windows count. A negative factor, which has no real power, counts as 0. An odd
    side repeats its last row or column before it is halved. NaN where a side is under 161
    pixels, because five scales do not fit.

    Raises:
      ValueError: the shapes differ or are not [H, W, C].
    """
    a, b = _pair(original, reconstruction)
    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return math.nan
    product = np.ones(a.shape[-1])
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale > 0:
            a, b = _halve(a), _halve(b)
        similarity, contrast = _similarity_and_contrast(a, b)
        coarsest = scale == len(SCALE_WEIGHTS) - 1
        product *= np.maximum(similarity if coarsest else contrast, 0) ** weight
    return float(np.mean(product))


def bits_per_pixel(num_bytes: int, height: int, width: int) -> float:
    """Bits a file of `num_bytes` spends on each of its height x width pixels."""
    return 8 * num_bytes / (height * width)


def percent_of_raw_size(num_weights: int, height: int, width: int, channels: int) -> float:
    """Size of float32 weights in percent of the raw 8-bit image: the thesis's rule of size.

    21,600 weights on a 400 x 400 x 3 image are 18%.
    """
    return 100 * 32 * num_weights / (8 * height * width * channels)


def distortion(original: ArrayLike, reconstruction: ArrayLike) -> dict[str, float]:
    """All metrics of two [H, W, C] images by name: mse, psnr (dB), ssim, ms_ssim.

    Raises:
      ValueError: the shapes differ or are not [H, W, C].
    """
    return {
        metric.__name__: metric(original, reconstruction) for metric in (mse, psnr, ssim, ms_ssim)
    }


def _pair(
    original: ArrayLike, reconstruction: ArrayLike
) -> tuple[
    Float64[np.ndarray, "height width channels"], Float64[np.ndarray, "height width channels"]
]:
    a, b = np.asarray(original, np.float64), np.asarray(reconstruction, np.float64)
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(f"expected two [H, W, C] images of one shape, got {a.shape}, {b.shape}")
    return a, b


def _similarity_and_contrast(
    a: Float64[np.ndarray, "height width channels"], b: Float64[np.ndarray, "height width channels"]
) -> tuple[Float64[np.ndarray, "channels"], Float64[np.ndarray, "channels"]]:
    """SSIM and its contrast-structure factor, averaged over whole windows."""
    c1, c2 = 0.01**2, 0.03**2
    mean_a, mean_b = _local_mean(a), _local_mean(b)
    variances = _local_mean(a * a + b * b) - mean_a**2 - mean_b**2
    covariance = _local_mean(a * b) - mean_a * mean_b
    contrast = (2 * covariance + c2) / (variances + c2)
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return np.mean(luminance * contrast, axis=(0, 1)), np.mean(contrast, axis=(0, 1))


def _local_mean(
    x: Float64[np.ndarray, "height width channels"],
) -> Float64[np.ndarray, "windows_down windows_across channels"]:
    """Under the Gaussian of each window that lies in the image whole."""
    whole = slice(WINDOW_RADIUS, -WINDOW_RADIUS)
    return gaussian_filter(x, WINDOW_SIGMA, radius=WINDOW_RADIUS, axes=(0, 1))[whole, whole]


def _halve(
    x: Float64[np.ndarray, "height width channels"],
) -> Float64[np.ndarray, "(height+1)//2 (width+1)//2 channels"]:
    """Averages of 2 x 2 pixels."""
    height, width, _ = x.shape
    x = np.pad(x, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return (x[0::2, 0::2] + x[1::2, 0::2] + x[0::2, 1::2] + x[1::2, 1::2]) / 4
