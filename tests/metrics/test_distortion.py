"""Tests of distortion against plain loops, scikit-image and TensorFlow."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfm_flax.data.images import prepare, read_image
from dfm_flax.metrics.distortion import (
    bits_per_pixel,
    distortion,
    ms_ssim,
    mse,
    percent_of_raw_size,
    psnr,
    ssim,
)


def noisy(image, deviation, seed=0):
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 1).astype(np.float32)


def ssim_by_loops(a, b):
    """Equations 13 and 14 of Wang et al. 2004, window by window."""
    x = np.arange(-5, 6)
    window = np.exp(-(x[:, None] ** 2 + x[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for channel in range(a.shape[2]):
        for i in range(a.shape[0] - 10):
            for j in range(a.shape[1] - 10):
                p = a[i : i + 11, j : j + 11, channel].astype(float)
                q = b[i : i + 11, j : j + 11, channel].astype(float)
                mean_p, mean_q = (window * p).sum(), (window * q).sum()
                var_p = (window * (p - mean_p) ** 2).sum()
                var_q = (window * (q - mean_q) ** 2).sum()
                cov = (window * (p - mean_p) * (q - mean_q)).sum()
                values.append(
                    (2 * mean_p * mean_q + 1e-4)
                    * (2 * cov + 9e-4)
                    / ((mean_p**2 + mean_q**2 + 1e-4) * (var_p + var_q + 9e-4))
                )
    return np.mean(values)


def test_mse_and_psnr_by_hand():
    black, gray = np.zeros((2, 3, 3)), np.full((2, 3, 3), 0.1)
    assert mse(black, gray) == pytest.approx(0.01)
    assert psnr(black, gray) == pytest.approx(20)
    assert psnr(gray, gray) == math.inf
    assert psnr(black, np.ones_like(black)) == 0


@given(st.floats(1e-3, 0.5), st.sampled_from([1, 3]))
def test_psnr_of_a_constant_offset(offset, channels):
    image = np.random.default_rng(0).random((5, 7, channels)) / 2
    assert psnr(image, image + offset) == pytest.approx(-20 * math.log10(offset))


def test_float32_is_computed_in_float64():
    a = np.zeros((1, 1, 1), np.float32)
    assert mse(a, a + np.float32(1e-30)) > 0  # its square is below what float32 holds


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_by_loops(channels):
    rng = np.random.default_rng(0)
    a = rng.random((14, 17, channels))
    b = noisy(a, 0.2)
    assert ssim(a, b) == pytest.approx(ssim_by_loops(a, b), abs=1e-9)


def test_ssim_needs_a_window():
    image = np.zeros((11, 10, 1))
    assert math.isnan(ssim(image, image))
    assert ssim(np.zeros((11, 11, 1)), np.zeros((11, 11, 1))) == 1


def test_ms_ssim_needs_five_scales():
    assert math.isnan(ms_ssim(np.zeros((160, 200, 3)), np.zeros((160, 200, 3))))
    assert ms_ssim(np.zeros((161, 161, 3)), np.zeros((161, 161, 3))) == pytest.approx(1)


def test_ms_ssim_orders_reconstructions():
    image = prepare(read_image("sample:camera"), 200).pixels
    values = [ms_ssim(image, noisy(image, deviation)) for deviation in (0, 0.02, 0.1, 0.5)]
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert 0 <= ms_ssim(image, 1 - image) < 0.1  # anticorrelated: negative factors count as 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("camera", (161, 161)),
        ("coins", (303, 384)),
        ("astronaut", (400, 400)),
        ("chelsea", (289, 451)),
        ("coffee", (177, 240)),
    ],
)
@pytest.mark.parametrize("deviation", [0.03, 0.3])
def test_structural_measures_match_tensorflow(name, size, deviation):
    tf = pytest.importorskip("tensorflow")
    original = prepare(read_image(f"sample:{name}"), crop=size).pixels
    reconstruction = noisy(original, deviation)
    pair = tf.constant(original), tf.constant(reconstruction)
    assert ssim(original, reconstruction) == pytest.approx(
        float(tf.image.ssim(*pair, max_val=1)), abs=1e-4
    )
    assert ms_ssim(original, reconstruction) == pytest.approx(
        float(tf.image.ssim_multiscale(*pair, max_val=1)), abs=1e-4
    )


def test_size_measures():
    assert bits_per_pixel(6000, 400, 400) == 0.3
    assert percent_of_raw_size(21_600, 400, 400, 3) == 18


def test_distortion_names_all_measures():
    image = read_image("sample:rocket").pixels
    reconstruction = noisy(image, 0.1)
    assert distortion(image, reconstruction) == {
        "mse": mse(image, reconstruction),
        "psnr": psnr(image, reconstruction),
        "ssim": ssim(image, reconstruction),
        "ms_ssim": ms_ssim(image, reconstruction),
    }


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5000, 3)])
def test_smallest_and_widest_images(shape):
    result = distortion(np.zeros(shape), np.ones(shape))
    assert (result["mse"], result["psnr"]) == (1, 0)
    assert math.isnan(result["ssim"])
    assert math.isnan(result["ms_ssim"])


@pytest.mark.parametrize("metric", [mse, psnr, ssim, ms_ssim, distortion])
@pytest.mark.parametrize(
    "shapes", [((4, 4, 3), (4, 4, 1)), ((4, 4), (4, 4)), ((4, 4, 1), (4, 1, 1))]
)
def test_shapes_must_agree(metric, shapes):
    with pytest.raises(ValueError, match="one shape"):
        metric(*(np.zeros(shape) for shape in shapes))
