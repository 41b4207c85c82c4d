import numpy as np
import pytest

from dfm_flax.baselines.codecs import codecs
from dfm_flax.metrics.distortion import psnr

X, Y = np.meshgrid(np.linspace(0, 1, 96), np.linspace(0, 1, 64))
COLOR = np.stack([X, Y, 0.5 + 0.5 * np.sin(40 * X * Y)], axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["JPEG", "WebP", "AVIF", "JPEG XL"])
@pytest.mark.parametrize("channels", [1, 3])
def test_they_code_the_image_at_many_rates(name, channels):
    image = COLOR[..., 3 - channels :]
    coded = codecs()[name](image)
    assert len({one.num_bytes for one in coded}) > 5
    smallest, largest = (f(coded, key=lambda one: one.num_bytes) for f in (min, max))
    assert smallest.pixels.shape == image.shape
    assert psnr(image, smallest.pixels) < psnr(image, largest.pixels)
    assert psnr(image, largest.pixels) > 28
