import json

import numpy as np
import PIL.Image
import pytest

from dfm_flax.benchmarks import report, speed
from dfm_flax.benchmarks.timing import MATMUL_FLOPS, Timing


def test_rates_and_ratios_come_from_the_medians(monkeypatch):
    times = {
        "ours": Timing(0.5, 0.4, 0.9),
        "slow": Timing(2.0, 1.0, 3.0),
        "matmul": Timing(0.25, 0.2, 0.3),
    }
    monkeypatch.setattr(speed, "take_turns", lambda *args, **kwargs: times)
    ours, slow, matmul = speed._compare("layers", {"positions": 7}, {}, 3, flops=10**9)
    assert ours["ratio"] == 1
    assert slow["ratio"] == 4
    assert slow["gflops"] == pytest.approx(0.5)
    assert matmul["gflops"] == pytest.approx(4 * MATMUL_FLOPS / 1e9)
    assert slow["percent_of_peak"] == pytest.approx(100 * 0.5 / matmul["gflops"])
    assert {row["positions"] for row in (ours, slow, matmul)} == {7}


def test_report_holds_the_rows_and_draws_them(tmp_path):
    row = {"case": "layers", "contender": "ours", "positions": 64, "seconds": 0.1, "ratio": 1.0}
    scaled = [
        {"depth": 6, "width": 8, "positions": 4096, "percent_of_peak": 30.0},
        {"depth": 6, "width": 8, "positions": 1000, "percent_of_peak": 20.0},
        {"depth": 6, "width": 2, "positions": 4096, "percent_of_peak": 10.0},
        {"depth": 2, "width": 8, "positions": 4096, "percent_of_peak": 25.0},
    ]
    rows = [row, *(row | {"case": "scaling"} | values for values in scaled)]
    files = tmp_path / "speed.json", tmp_path / "speed.png"
    report.write(*files, rows)
    written = json.loads((tmp_path / "speed.json").read_text())
    assert written["rows"] == rows
    assert written["where"]["evaluation"]
    with PIL.Image.open(tmp_path / "speed.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 10
    report.write(*files, rows[:1])  # one of the panels alone
    report.write(*files, rows[1:])


@pytest.mark.slow
def test_a_case_from_start_to_end(monkeypatch):
    monkeypatch.setattr(speed, "DISPATCHED", 20)
    rows = speed.dispatch(rounds=3)
    assert [row["contender"] for row in rows] == 2 * ["ours", "a dispatch a step", "Python loop"]
    assert all(row["steps_per_second"] > 10 for row in rows)
