import numpy as np
import pytest

from dfm_flax.baselines.published import means_of_kodak
from dfm_flax.codec.comparison import COIN, Comparison, Shown
from dfm_flax.metrics.rate_distortion import Point
from dfm_flax.reports.page import coin_table, published_table, write_page


def curve(gain):
    """PSNR 20 + gain dB at 0.02 bpp, and 2 dB more for each octave."""
    return [Point(0.02 * 2**i, 20 + gain + 2 * i, 0.8) for i in range(7)]


def test_the_rate_at_coins_psnr():
    """An octave below a network at equal PSNR is half its rate."""
    comparisons = [
        Comparison("photo", np.zeros((4, 4, 3)), {"DFM": curve(gain)}) for gain in (0, 4)
    ]
    comparisons[0].points[COIN] = [Point(0.16, 24, 0.8), Point(0.16, 60, 0.8)]
    reached, beyond = coin_table(comparisons, "DFM")
    assert reached == {
        "image": "photo",
        "PSNR": "24.00",
        "COIN's bpp": "0.160",
        "bpp": "0.080",
        "change": reached["change"],
    }
    np.testing.assert_allclose(reached["change"], -50)
    assert beyond["bpp"] is None
    assert beyond["change"] is None


def test_published_means_are_for_half_of_kodak_and_more():
    """The mean of two curves is 2 dB above the lower: an octave less."""
    comparisons = [
        Comparison(f"kodim{i:02d}", np.zeros((4, 4, 3)), {"DFM": curve(gain)}, is_of_kodak=True)
        for i, gain in enumerate([0, 4] * 6)
    ]
    rows = {row["COIN's bpp"]: row for row in coin_table(comparisons, "DFM")}
    assert len(rows) == 6
    # 24.6 dB: 22 + 2 log2(r / 0.02) = 24.6.
    assert rows["0.160"]["bpp"] == f"{0.02 * 2 ** (2.6 / 2):.3f}"
    assert coin_table(comparisons[1:], "DFM") == []
    comparisons[0] = Comparison("photo", np.zeros((4, 4, 3)), {"DFM": curve(0)})
    assert coin_table(comparisons, "DFM") == []


def test_a_network_of_one_image_of_two_is_drawn(tmp_path):
    pixels = np.full((4, 4, 3), 0.5)
    comparisons = [
        Comparison(name, pixels, {"DFM": curve(0)}, {"DFM": Shown(pixels, curve(0)[0])})
        for name in ("a", "b")
    ]
    comparisons[1].points[COIN] = [Point(0.16, 24, 0.8)]
    write_page(tmp_path / "page.html", comparisons, "DFM")
    page = (tmp_path / "page.html").read_text()
    assert "Rate at COIN&#x27;s PSNR" in page or "Rate at COIN's PSNR" in page
    assert "-50.0%" in page


def test_the_rate_of_the_mean_curve_to_published_means():
    """A curve of the published points of VTM is no better than VTM."""
    vtm = means_of_kodak()["VTM"]
    pixels = np.zeros((4, 4, 3))
    comparisons = [
        Comparison(f"kodim{i:02d}", pixels, {"DFM": vtm}, is_of_kodak=True) for i in range(1, 13)
    ]
    rates = {
        row["published mean of 24"]: row["BD-rate"] for row in published_table(comparisons, "DFM")
    }
    assert rates["VTM"] == pytest.approx(0, abs=1e-6)
    assert rates["COIN"] < rates["BPG 4:4:4"] < rates["C3"] < 0
    assert published_table(comparisons[1:], "DFM") == []
    comparisons[0].points["DFM"] = vtm[1:]
    assert published_table(comparisons, "DFM") == []
