import numpy as np
import pytest

from dfm_flax.baselines import codecs as module
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


def test_files_are_kept_for_the_next_time(tmp_path, monkeypatch):
    code = codecs(tmp_path / "kept")["JPEG"]
    first = code(COLOR)
    files = list((tmp_path / "kept").iterdir())
    assert {file.suffix for file in files} == {".jpeg"}
    assert {one.num_bytes for one in first} <= {file.stat().st_size for file in files}
    with monkeypatch.context() as patched:
        patched.setattr(module, "encoded", None)  # not encoded again
        again = code(COLOR)
    for one, other in zip(first, again, strict=True):
        assert one.num_bytes == other.num_bytes
        np.testing.assert_array_equal(one.pixels, other.pixels)
    code(COLOR[::-1])
    assert len(list((tmp_path / "kept").iterdir())) == 2 * len(files)
