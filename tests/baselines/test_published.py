import itertools
import math

import pytest

from dfm_flax.baselines import published


@pytest.mark.parametrize(
    ("name", "height", "width", "expected"),
    [
        ("kodim01", 512, 768, True),
        ("kodim24", 768, 512, True),
        ("kodim25", 512, 768, False),
        ("kodim00", 512, 768, False),
        ("kodim01", 256, 384, False),  # a crop of it is another image
        ("photo", 512, 768, False),
        ("kodim01b", 512, 768, False),
    ],
)
def test_images_of_kodak_by_name_and_size(name, height, width, expected):
    assert published.is_of_kodak(name, height, width) is expected


def test_curves_rise():
    curves = list(published.means_of_kodak().values())
    for number in range(1, 25):
        of_image = published.of_image(f"kodim{number:02d}")
        assert set(of_image) == {"Cool-Chic 5"}
        curves += of_image.values()
    for curve in curves:
        assert len(curve) >= 4
        for before, after in itertools.pairwise(curve):
            assert before.bpp < after.bpp < 4
            assert 20 < before.psnr < after.psnr < 50
        assert all(math.isnan(point.ms_ssim) for point in curve)
    assert published.of_image("photo") == {}


def test_known_points():
    """Dupont et al. 2021, figure 2; the first and last row of kodim20 of Cool-Chic's table."""
    assert (
        published.means_of_kodak()["COIN"][0].bpp,
        published.means_of_kodak()["COIN"][-1].psnr,
    ) == (
        0.037,
        30.6,
    )
    kodim20 = published.of_image("kodim20")["Cool-Chic 5"]
    assert (kodim20[0].bpp, kodim20[-1].psnr) == (0.05921, 41.6373)
