"""The case of accelerators, on whatever is here and at small sizes: that it runs and adds up."""

import jax
import pytest

from dfm_flax.benchmarks import accelerator
from dfm_flax.benchmarks.timing import MATMUL_FLOPS, Timing
from dfm_flax.cli import main


def test_shares_are_of_the_peak_at_the_same_precision(monkeypatch):
    times = {
        "full, float32": Timing(2.0, 1.0, 3.0),
        "full, bfloat16": Timing(1.0, 1.0, 1.0),
        "matmul, float32": Timing(0.5, 0.4, 0.6),
        "matmul, bfloat16": Timing(0.1, 0.1, 0.1),
    }
    monkeypatch.setattr(accelerator, "take_turns", lambda *arguments, **named: times)
    flops = {"full, float32": MATMUL_FLOPS, "full, bfloat16": MATMUL_FLOPS}
    full, low, *products = accelerator._compared("layers", {}, {}, flops, 3)
    assert full["percent_of_peak"] == pytest.approx(25)
    assert low["percent_of_peak"] == pytest.approx(10)
    assert products[1]["gflops"] == pytest.approx(10 * MATMUL_FLOPS / 1e9)


@pytest.mark.slow
def test_it_runs(monkeypatch):
    monkeypatch.setattr(accelerator, "_POSITIONS", (64,))
    monkeypatch.setattr(accelerator, "_GENERATORS", ("digits",))
    monkeypatch.setattr(accelerator, "_STEPS_A_DISPATCH", (1,))
    monkeypatch.setattr(accelerator, "take_turns", _once)
    rows = accelerator.accelerator(3)
    named = {row["contender"] for row in rows}
    assert {"full, float32", "additive, bfloat16", "bfloat16, 1 a dispatch"} <= named
    assert all(row["images_per_second"] > 0 for row in rows if "dispatch" in row["contender"])


def _once(contenders, rounds, title):
    for call in contenders.values():
        jax.block_until_ready(call())
    return {name: Timing(1.0, 1.0, 1.0) for name in contenders}


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="an accelerator is here")
def test_on_a_cpu_it_is_not_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "accelerator"]) == 0
    assert capsys.readouterr().out.startswith("accelerator: not run, as JAX sees CPUs only")
    assert not list(tmp_path.iterdir())
