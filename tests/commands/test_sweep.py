"""`dfm sweep` as a user meets it."""

import csv
import os
import signal
import subprocess
import sys
import time

import pytest

from dfm_flax.cli import main
from dfm_flax.compression import train as compress
from dfm_flax.config import load_config, override
from dfm_flax.runs import Run
from tests import fork_server

SMALL = (
    "--config=sweeps/figure_5_1",
    "--config.data.resize=24",
    "--config.data.crop=24,24",
    "--config.num_seeds=1",
    "--config.training.num_steps=60",
    "--config.training.log_every=5",
    "--config.training.checkpoint_every=10",
    "--config.grid.model.machine.depth=2,3",
    "--config.grid.model.machine.width=2,3",
)

TWO_CELLS = ("--config.grid.model.machine.depth=2",)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def one_line_error(capsys, *arguments):
    assert main(["sweep", *map(str, arguments)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("dfm: ") for line in lines) == 1
    return lines[-1]


def test_the_list_says_how_many_cells_and_touches_nothing(capsys, tmp_path):
    assert main(["sweep", *SMALL, f"--workdir={tmp_path / 'new'}", "--list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 cells, 0 finished",
        "0_depth=2_width=2  -",
        "1_depth=2_width=3  -",
        "2_depth=3_width=2  -",
        "3_depth=3_width=3  -",
    ]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell=4"], "--cell 4: there are cells 0 to 3"),
        (["--cell=-1"], "--cell -1: there are cells 0 to 3"),
        (
            ["--config.grid.model.machine.detph=2"],
            "did you mean --config.grid.model.machine.depth?",
        ),
        (["--config.grid.model.machine.depth=2,x"], "is not a list like"),
        (["--config.grid.model.machine.depth=1,2"], "cell 0_depth=1_width=2: config.model"),
        (["--config.figures.loss_bounds=2,1"], "give ascending numbers"),
        (["--config=compress"], "this config has no grid"),
        (["--config.grid.model.depth=2"], "is now --config.grid.model.machine.depth"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(capsys, tmp_path, arguments, message):
    base = SMALL[:1] if arguments[0].startswith("--config=") else SMALL
    assert message in one_line_error(capsys, *base, *arguments, f"--workdir={tmp_path / 'new'}")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("shard", ["2/2", "1", "-1/2", "0/0", "a/b", "1/2/3"])
def test_parts_that_do_not_exist(capsys, tmp_path, shard):
    with pytest.raises(SystemExit) as stop:
        main(["sweep", *SMALL, f"--workdir={tmp_path}", f"--shard={shard}"])
    assert stop.value.code == 2
    assert "I/N with I from 0 to N-1" in capsys.readouterr().err


def sweep_process(*arguments):
    return fork_server.Popen(
        [sys.executable, "-m", "dfm_flax", "sweep", *SMALL, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
    )


@pytest.mark.slow
def test_killed_it_goes_on_with_the_same_command(capsys, tmp_path):
    workdir = tmp_path / "sweep"
    longer = (
        "--config.training.num_steps=4000",
        "--config.training.log_every=20",
        "--config.training.checkpoint_every=400",
        *TWO_CELLS,
        f"--workdir={workdir}",
    )
    process = sweep_process(*longer)
    first, second = (workdir / "cells" / n for n in ("0_depth=2_width=2", "1_depth=2_width=3"))
    while not (second / "checkpoints" / "400").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert read(workdir / "table.csv")[-1]["model.machine.width"] == "2"
    finished_at = (first / "results.json").stat().st_mtime_ns

    # Two parts, as the tasks of an array: one has nothing left, the other finishes and draws.
    assert main(["sweep", *SMALL, *longer, "--shard=0/2"]) == 0
    assert "missing: 1_depth=2_width=3" in capsys.readouterr().out
    assert main(["sweep", *SMALL, *longer, "--shard=1/2"]) == 0
    output = capsys.readouterr()
    assert "missing" not in output.out
    assert f"figure: {workdir / 'losses.png'}" in output.out
    assert (first / "results.json").stat().st_mtime_ns == finished_at

    rows = read(workdir / "table.csv")
    assert [row["cell"] for row in rows] == list("01")
    assert main(["sweep", *SMALL, *longer, "--list"]) == 0
    assert capsys.readouterr().out.startswith("2 cells, 2 finished\n")
    # The cell that was killed, against the same run alone and undisturbed.
    alone = load_config("compress")
    changes = [text.removeprefix("--config.") for text in (*SMALL, *longer)]
    wanted = [text for text in changes if text.split(".")[0].split("=")[0] in dict(alone)]
    override(alone, [*wanted, "model.machine.depth=2", "model.machine.width=3"])
    (expected,) = compress.train(alone, tmp_path / "alone")
    assert float(rows[1]["mse"]) == expected["mse"]

    message = one_line_error(capsys, *SMALL, *longer, "--config.num_seeds=2")
    assert "num_seeds: 1 -> 2" in message


@pytest.mark.slow
def test_two_processes_with_the_same_command_share_the_cells(tmp_path):
    processes = [sweep_process(*TWO_CELLS, f"--workdir={tmp_path}") for _ in range(2)]
    try:
        for process in processes:
            errors = process.communicate(timeout=600)[1]
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
    assert [row["cell"] for row in read(tmp_path / "table.csv")] == list("01")


@pytest.mark.slow
def test_a_cell_that_diverges_is_told_and_the_others_are_finished_side_by_side(
    capsys, caplog, tmp_path
):
    config = tmp_path / "variances.py"
    config.write_text(
        "from ml_collections import ConfigDict\n"
        "from dfm_flax.config import load_config\n"
        "def get_config():\n"
        "    config = load_config('compress').unlock()\n"
        "    variances = (2e-5,), (1e-4,), (1e-2, 1e-2, 1e80)  # weights beyond float32\n"
        "    config.grid = ConfigDict({'model': {'machine': {'variances': variances}}})\n"
        "    return config\n"
    )
    small = [text for text in SMALL[1:] if "grid" not in text]
    arguments = [f"--config={config}", *small, f"--workdir={tmp_path / 'sweep'}"]
    assert main(["sweep", *arguments]) == 1
    assert caplog.text.count("the cells are trained in two halves") == 2  # 0 1 2, and 1 2
    out = capsys.readouterr().out
    assert "missing: 2_variances=0.01-0.01-1e+80\n" in out
    assert "failed: 2_variances=0.01-0.01-1e+80: loss of astronaut_seed0 at step" in out
    rows = read(tmp_path / "sweep" / "table.csv")
    assert [(row["cell"], row["steps"]) for row in rows] == [("0", "60"), ("1", "60")]
    assert rows[0]["mse"] != rows[1]["mse"]


@pytest.mark.slow
def test_generators_have_a_run_for_each_seed(small_arguments, tmp_path):
    config = tmp_path / "seeds.py"
    config.write_text(
        "from ml_collections import ConfigDict\n"
        "from dfm_flax.config import load_config\n"
        "def get_config():\n"
        "    config = load_config('digits').unlock()\n"
        "    config.grid = ConfigDict({'seed': (0, 1)})\n"
        "    return config\n"
    )
    arguments = [f"--config={config}", *small_arguments, f"--workdir={tmp_path / 'sweep'}"]
    assert main(["sweep", *arguments, "--cell=1"]) == 0
    (row,) = read(tmp_path / "sweep" / "table.csv")
    assert row["seed"] == "1"
    assert row["steps"] == "60"
    assert Run(tmp_path / "sweep" / "cells" / "1_seed=1").config().seed == 1
