import json

import numpy as np
import pytest

from dfm_flax.baselines.siren import Siren
from dfm_flax.benchmarks import coin
from dfm_flax.data.images import write_image


def test_sizes_are_those_published():
    """0.074 and 0.160 bpp on Kodak's 768x512 pixels."""
    rates = [8 * coin.num_bytes(siren) / (768 * 512) for siren in coin.NETWORKS]
    np.testing.assert_allclose(rates, (0.074, 0.160), rtol=0.01)


@pytest.mark.slow
def test_a_network_beside_a_file_of_half_its_size(tmp_path, monkeypatch, capsys):
    """A shallow machine, and a network that is trained for as long, but no longer than 5 s."""
    monkeypatch.setattr("dfm_flax.codec.plan._DEPTH", 3)
    train = coin.train_siren
    monkeypatch.setattr(coin, "train_siren", lambda *a: train(*a[:2], min(a[2], 5.0), *a[3:]))
    gray = np.linspace(0.2, 0.8, 64 * 80).reshape(64, 80, 1).repeat(3, axis=2)
    write_image(tmp_path / "ramp.png", gray)
    monkeypatch.setattr(coin, "NETWORKS", (Siren(6, 20),))
    out = tmp_path / "coin.json"
    arguments = [str(tmp_path / "ramp.png"), "--steps", "50", "--out", str(out)]
    monkeypatch.setattr("sys.argv", ["coin", *arguments])
    coin.main()
    (row,) = json.loads(out.read_text())
    assert row["image"] == "ramp"
    assert row["network"] == "5x20"
    assert row["bpp"] == 16 * 1803 / (64 * 80)
    assert 0.9 * row["bpp"] / 2 < row["dfm_bpp"] <= row["bpp"] / 2
    # As smooth as that, half precision costs nothing that one would see, and both learn it.
    assert row["psnr"] > 25
    assert row["dfm_psnr"] > 25
    assert row["decode_ms"] > 0
    assert row["dfm_decode_ms"] > 0
    assert "ramp" in capsys.readouterr().out
