"""The command as a user meets it: what it teaches, and each kind of wrong input."""

import contextlib
import fcntl
import importlib.metadata
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.util.tensor_util import make_ndarray

from dfm_flax.cli import main
from dfm_flax.data.images import read_image
from dfm_flax.metrics.distortion import psnr
from tests import fork_server


@pytest.fixture(autouse=True)
def photo(tmp_path):
    path = tmp_path / "photo.png"
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(path)
    return path


def one_line_error(capsys, code, *arguments):
    assert main([str(argument) for argument in arguments]) == code
    output = capsys.readouterr()
    lines = [line for line in output.err.splitlines() if line.startswith("dfm: ")]
    assert len(lines) == 1
    assert "Traceback" not in output.err
    return lines[0]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["sweep", "--help"], ["reconstruct", "--help"]]
)
def test_help_teaches(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "--config" in capsys.readouterr().out or arguments[0] == "reconstruct"


def test_show_prints_the_settings_and_overrides(capsys):
    assert main(["train", "--config=compress", "--config.model.machine.depth=5", "--show"]) == 0
    out = capsys.readouterr().out
    assert "config.model.machine.depth = 5\n" in out
    assert "config.training.batch_size = 64\n" in out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trian"],
        ["train", "--config=compress"],
        ["train", "--confg=compress"],
        ["reconstruct", "--workdir=x", "--size=10x"],
        ["reconstruct", "--workdir=x", "--scale=-1"],
        ["reconstruct", "--workdir=x", "--config.a=1"],
        ["train", "--config=compress", "--config.model.machine.depth", "5"],
    ],
)
def test_bad_usage_exits_with_2(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


WRONG = {
    "model.machine.depth=1": "a machine has at least 2 layers, not 1",
    "model.machine.width=0": "width",
    "model.machine.width=30": "weights; use a smaller width",
    "model.machine.basis=chirp": "basis 'chirp' is not one of additive, full",
    "model.machine.max_frequencies=0": "max_frequenc",
    "model.machine.variances=-1,1,1": "they cannot be negative",
    "optimizer.name=sgd": "optimizer.name='sgd' is not one of adam, soap",
    "optimizer.b1=1": "must be from 0 to below 1",
    "optimizer.learning_rate=-1": "cannot be negative",
    "optimizer.learning_rate=1e999": "is not a number",
    "training.sampling=often": "training.sampling='often' is not one of uniform, stratified",
    "training.batch_size=0": "use --config.training.batch_size=1",
    "training.keep_checkpoints=0": "keep_checkpoints=0: keep 1 or more",
    "training.num_steps=3000000000": "more than 32 bits count",
    "training.checkpoint_every=7": "checkpoint_every=7 is not a multiple of log_every=5",
    "num_seeds=0": "num_seeds=0: give one seed or more",
    "seed=-1": "seed=-1, config.num_seeds=1: give one seed or more, from 0 to 4294967295",
    "seed=4294967296": "seed=4294967296",
    "seeds=0,1": "--config.seeds: is now --config.seed and --config.num_seeds",
    "model.depth=5": "--config.model.depth: is now --config.model.machine.depth",
    "task=compress": "config.task='compress' is now 'compression'",
    "data.images=": "no image given",
    "data.crop=24": "give height,width",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_settings_without_sense_are_one_line_and_leave_no_run_behind(capsys, tiny, tmp_path, wrong):
    """So that the same --workdir can be used once they are corrected."""
    arguments = ["train", *tiny, f"--config.{wrong}", f"--workdir={tmp_path / 'r'}"]
    assert WRONG[wrong] in one_line_error(capsys, 2, *arguments)
    assert not (tmp_path / "r").exists()


CONFIGS = {
    "{'task': 'compression'}": "lacks data.crop, data.images",
    "{'learning_rate': 1.0}": "config.task=None is not",
    "{": "SyntaxError",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_configs_that_are_none_of_ours(capsys, tmp_path, text):
    head = "from ml_collections import ConfigDict\ndef get_config(): return "
    (tmp_path / "c.py").write_text(f"{head}ConfigDict({text})")
    arguments = ["train", f"--config={tmp_path / 'c.py'}", f"--workdir={tmp_path / 'r'}"]
    assert CONFIGS[text] in one_line_error(capsys, 2, *arguments)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["reconstruct", "--out=o"],
        ["sample", "--out=o.png"],
        ["interpolate", "--from=0", "--to=1", "--out=o.png"],
        ["evaluate"],
        ["train", "--config=compress"],
    ],
)
def test_runs_of_another_version_are_refused_by_all_commands(
    capsys, tmp_path, monkeypatch, arguments
):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text('{"task": "compress", "seeds": [0], "model": {"depth": 4}}')
    line = one_line_error(capsys, 2, *arguments, f"--workdir={run}")
    assert "config.json: of dfm_flax 0.1" in line
    assert {path.name for path in tmp_path.iterdir()} == {"run", "photo.png"}
    assert [path.name for path in run.iterdir()] == ["config.json"]


def test_too_little_memory_is_one_line(capsys, tiny, tmp_path, monkeypatch):
    def fail(*args):
        raise MemoryError("Unable to\nallocate")

    monkeypatch.setattr("dfm_flax.compression.train.initial_states", fail)
    line = one_line_error(capsys, 1, "train", *tiny, f"--workdir={tmp_path / 'r'}")
    assert line == "dfm: not enough memory: Unable to allocate"


def test_a_reader_that_has_seen_enough():
    # Fresh, as how Python buffers its output is decided when it starts.
    process = subprocess.Popen(
        [sys.executable, "-m", "dfm_flax", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": ""},  # unbuffered, argparse itself hides the error
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_unknown_key_names_the_near_one(capsys, tiny, tmp_path):
    line = one_line_error(
        capsys, 2, "train", *tiny, "--config.model.machine.detph=3", f"--workdir={tmp_path / 'r'}"
    )
    assert "did you mean --config.model.machine.depth?" in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "missing.png", "No such file"),
        (b"just text", "text.png", "not an image"),
        ("truncated", "cut.jpg", "truncated"),
    ],
)
def test_input_that_is_no_image(capsys, tiny, tmp_path, photo, content, name, message):
    path = tmp_path / name
    if content == "truncated":
        PIL.Image.open(photo).resize((300, 300)).save(path)
        content = path.read_bytes()[:5000]
    if content:
        path.write_bytes(content)
    line = one_line_error(
        capsys, 2, "train", *tiny, f"--config.data.images={path}", f"--workdir={tmp_path / 'r'}"
    )
    assert message in line
    assert str(path) in line
    assert not (tmp_path / "r").exists()


def test_unwritable_workdir(capsys, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    line = one_line_error(capsys, 2, "train", *tiny, f"--workdir={tmp_path / 'file' / 'r'}")
    assert "cannot write" in line


def test_batch_that_does_not_divide_over_devices(dfm, tiny, tmp_path):
    process = dfm(
        "train", *tiny, "--config.training.batch_size=63", f"--workdir={tmp_path / 'r'}", devices=2
    )
    assert process.returncode == 2
    assert "does not divide over 2 devices" in process.stderr
    assert "Traceback" not in process.stderr


def test_no_run_to_reconstruct(capsys, tmp_path):
    assert "no run here" in one_line_error(capsys, 2, "reconstruct", f"--workdir={tmp_path}")


def scalars(workdir, tag):
    """What TensorBoard shows: (step, value) pairs."""
    events = event_accumulator.EventAccumulator(str(workdir), {event_accumulator.TENSORS: 0})
    events.Reload()
    return [(e.step, float(make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]


@pytest.mark.slow
def test_a_run_from_start_to_end(capsys, tiny, tmp_path, photo):
    """Train, look at what is written, run again, change a setting, render at another size."""
    workdir = tmp_path / "run"
    arguments = [
        *tiny,
        f"--config.data.images={photo},sample:coffee",
        "--config.seed=2",
        "--config.num_seeds=2",
        f"--workdir={workdir}",
    ]
    assert main(["train", *arguments]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[0][:2] == ["image", "seeds"]
    assert [row[0] for row in table[1:3]] == ["photo", "coffee"]
    results = json.loads((workdir / "results.json").read_text())
    assert [entry["name"] for entry in results] == [
        "photo_seed2",
        "photo_seed3",
        "coffee_seed2",
        "coffee_seed3",
    ]
    original = np.asarray(PIL.Image.open(photo).resize((32, 24)), np.float64)
    assert original.shape == (24, 32, 3)
    for entry in results:
        with PIL.Image.open(workdir / "reconstructions" / f"{entry['name']}.png") as picture:
            assert picture.size == (24, 24)
        assert (workdir / "figures" / f"{entry['name']}.png").stat().st_size > 10_000
        assert entry["steps"] == 60
        assert 5 < entry["psnr"] < 60
    stored = read_image(workdir / "reconstructions" / "photo_seed2.png").pixels
    with np.load(workdir / "images.npz") as arrays:
        assert results[0]["psnr"] == pytest.approx(psnr(arrays["0"] / 255, stored), abs=1e-4)
    curve = scalars(workdir, "psnr/photo_seed2")
    assert [step for step, _ in curve] == list(range(5, 61, 5))
    assert curve[-1][1] == pytest.approx(results[0]["psnr"], abs=1.5)
    assert scalars(workdir, "learning_rate") == [(step, np.float32(3e-3)) for step, _ in curve]
    assert min(value for _, value in scalars(workdir, "steps_per_second")) > 0
    assert scalars(workdir, "mse")[-1][1] < scalars(workdir, "mse")[0][1]

    assert main(["train", *arguments]) == 0  # finished already: the same results again
    assert json.loads((workdir / "results.json").read_text()) == results
    capsys.readouterr()

    line = one_line_error(capsys, 2, "train", *arguments, "--config.model.machine.width=4")
    assert "model.machine.width: 3 -> 4" in line
    line = one_line_error(capsys, 2, "train", *arguments, "--config.training.num_steps=70")
    assert "training.num_steps: 60 -> 70" in line
    stored = (workdir / "config.json").read_text()
    for damaged, message in (("[1]", "cannot be read"), ("{}", "cannot be read")):
        (workdir / "config.json").write_text(damaged)
        line = one_line_error(capsys, 2, "reconstruct", f"--workdir={workdir}")
        assert message in line
    (workdir / "config.json").write_text(stored)

    assert main(["reconstruct", f"--workdir={workdir}", "--size=50x20", f"--out={tmp_path}/o"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "o" / f"{entry['name']}_50x20.png") for entry in results
    ]
    with PIL.Image.open(tmp_path / "o" / "photo_seed2_50x20.png") as picture:
        assert picture.size == (50, 20)


@pytest.mark.slow
def test_a_terminal_shows_a_progress_bar_with_speed_and_time_left(tiny, tmp_path):
    terminal, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [sys.executable, "-m", "dfm_flax", "train", *tiny, f"--workdir={tmp_path / 'r'}"]
    process = fork_server.Popen(command, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    assert process.wait() == 0
    assert re.search(r"100%\|.*60/60 \[\d\d:\d\d<00:00, .*step/s, psnr=", shown.decode())


def test_help_needs_no_heavy_import():
    # Fresh, as it is about imports.
    code = "import sys, dfm_flax.cli; print([m for m in ('jax', 'tensorflow') if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"dfm {importlib.metadata.version('dfm_flax')}\n"
