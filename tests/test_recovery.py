"""Runs that die and go on: killed, interrupted, diverged, damaged. Real processes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests import fork_server

pytestmark = pytest.mark.slow

# Long enough to be hit by a kill at any phase: start, compilation, steps, saving.
LONGER = ("--config.training.num_steps=2000", "--config.training.checkpoint_every=50")


def start(arguments, workdir):
    return fork_server.Popen(
        [sys.executable, "-m", "dfm_flax", "train", *arguments, f"--workdir={workdir}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
    )


def finish(arguments, workdir):
    process = start(arguments, workdir)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors


def final_digest(workdir):
    """Of the whole final state: parameters, optimizer, random stream; and the curve."""
    newest = max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
    progress = json.loads(next((newest / "progress").iterdir()).read_text())
    return newest.name, progress["digest"], progress["history"]


def newest_step(workdir):
    steps = [p.name for p in workdir.glob("checkpoints/*") if p.name.isdigit()]
    return max(map(int, steps), default=0)


def wait_for_step(process, workdir, step):
    while newest_step(workdir) < step:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def test_killed_at_random_moments_the_run_ends_bit_identical(tiny, tmp_path):
    arguments = (*tiny, *LONGER, "--config.num_seeds=2")
    finish(arguments, tmp_path / "whole")
    expected = final_digest(tmp_path / "whole")
    rng = random.Random(0)
    workdir = tmp_path / "killed"
    moments = []
    for kill in range(5):
        process = start(arguments, workdir)
        # Past the checkpoints of the life before, then at a random moment: between dispatches,
        # in one, while saving.
        wait_for_step(process, workdir, 300 * kill + rng.randrange(1, 150))
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        moments.append(newest_step(workdir))
    assert moments == sorted(moments)
    assert 0 < moments[0] < moments[-1] < 2000
    errors = finish(arguments, workdir)
    assert "resumed from the checkpoint of step" in errors
    assert final_digest(workdir) == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_interrupted_it_saves_and_says_how_to_go_on(tiny, tmp_path, number, code):
    arguments = (*tiny, "--config.training.num_steps=1000000")
    process = start(arguments, tmp_path)
    wait_for_step(process, tmp_path, 100)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "mse=" in errors
    assert "steps_per_second=" in errors
    assert "minutes_left=" in errors
    assert "%|" not in errors  # no progress bar where there is no terminal
    assert f"stopped by {number.name} at step" in errors
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    stopped_at = int(errors.split("at step ")[-1].split(",")[0])
    assert newest_step(tmp_path) == stopped_at


def test_a_damaged_newest_checkpoint_is_passed_over(tiny, tmp_path):
    finish(tiny, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    newest = tmp_path / "damaged" / "checkpoints" / "60"
    for path in (newest / "state").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-7])
    errors = finish(tiny, tmp_path / "damaged")
    assert "checkpoint 60 is damaged, going on from the one before" in errors
    assert "resumed from the checkpoint of step 50" in errors
    assert final_digest(tmp_path / "damaged") == final_digest(tmp_path / "whole")


def test_divergence_stops_with_one_line(dfm, tiny, tmp_path):
    process = dfm(
        "train",
        *tiny,
        "--config.model.machine.variances=1e-2,1e-2,1e80",  # weights beyond float32
        f"--workdir={tmp_path}",
        check=1,
    )
    error = process.stderr.splitlines()[-1]
    assert error.startswith("dfm: loss of astronaut_seed0 at step ")
    assert "is not finite: training diverged" in error
    assert "Traceback" not in process.stderr


def test_two_runs_in_one_folder_at_once(dfm, tiny, tmp_path):
    arguments = (*tiny, "--config.training.num_steps=1000000")
    process = start(arguments, tmp_path)
    wait_for_step(process, tmp_path, 50)
    second = dfm("train", *arguments, f"--workdir={tmp_path}", check=2)
    assert "another process trains there" in second.stderr
    reader = dfm("reconstruct", f"--workdir={tmp_path}", f"--out={tmp_path / 'out'}", check=0)
    assert reader.stdout == f"{tmp_path / 'out' / 'astronaut_seed0_24x24.png'}\n"
    assert process.poll() is None  # undisturbed by both
    process.kill()
    process.communicate()


def test_ctrl_c_before_the_first_step(tiny, tmp_path):
    process = start(tiny, tmp_path)
    while not (tmp_path / "config.json").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "dfm: interrupted"
    assert "Traceback" not in errors
    finish(tiny, tmp_path)  # and the same command goes on
