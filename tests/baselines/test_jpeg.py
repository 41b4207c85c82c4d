import io

import numpy as np
import PIL.Image
import pytest

from dfm_flax.baselines.jpeg import jpeg_within
from dfm_flax.data.images import prepare, read_image
from dfm_flax.metrics.distortion import psnr


@pytest.fixture(scope="module")
def photo():
    return prepare(read_image("sample:astronaut"), 0, (120, 160)).pixels


def best_by_trying_all(pixels, num_bytes):
    image = PIL.Image.fromarray(np.rint(255 * pixels).astype(np.uint8))
    best = -1.0
    for quality in range(1, 101):
        for subsampling in (0, 2):
            for progressive in (False, True):
                file = io.BytesIO()
                image.save(
                    file,
                    "JPEG",
                    quality=quality,
                    subsampling=subsampling,
                    progressive=progressive,
                    optimize=True,
                )
                if file.tell() <= num_bytes:
                    decoded = np.asarray(PIL.Image.open(file), np.float64) / 255
                    best = max(best, psnr(pixels, decoded))
    return best


@pytest.mark.parametrize("num_bytes", [1_500, 4_000, 20_000])
def test_the_best_of_all_that_fit(photo, num_bytes):
    found = jpeg_within(photo, num_bytes)
    assert found.num_bytes <= num_bytes
    assert psnr(photo, found.pixels) == pytest.approx(best_by_trying_all(photo, num_bytes), abs=0.1)


def test_where_no_jpeg_is_so_small(photo):
    assert jpeg_within(photo, 300) is None


def test_gray(photo):
    gray = photo[..., :1]
    found = jpeg_within(gray, 5_000)
    assert found.pixels.shape == gray.shape
    assert psnr(gray, found.pixels) > 30
