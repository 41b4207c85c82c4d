import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path("launch/local/train.py")


@pytest.fixture
def train():
    spec = importlib.util.spec_from_file_location("launch_local_train", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stand_in(code):
    """In place of `dfm train`: exits with a code, or sleeps."""
    body = f"import sys; sys.exit({code})" if code is not None else "import time; time.sleep(60)"
    return subprocess.Popen([sys.executable, "-S", "-c", body])


@pytest.mark.parametrize(
    ("codes", "expected"), [((0, 0), 0), ((75, 75), 75), ((0, 2), 2), ((75, 1), 1)]
)
def test_the_exit_code_is_that_of_the_run(train, codes, expected):
    assert train.wait([stand_in(code) for code in codes]) == expected


def test_the_others_are_killed_when_one_died_and_they_do_not_stop(train, monkeypatch, capsys):
    monkeypatch.setattr(train, "GRACE", 0.1)
    processes = [stand_in(None), stand_in(1)]
    assert train.wait(processes) == 1
    assert processes[0].returncode == -9
    assert "process 1 ended with 1" in capsys.readouterr().err


def test_each_process_is_told_its_place_and_its_devices(train, monkeypatch):
    started = []

    class Process:
        stdout = ()

        def __init__(self, command, env, **options):
            started.append((command, env))

    monkeypatch.setattr(train.subprocess, "Popen", Process)
    options = argparse.Namespace(processes=2, devices=3, gpus=False, arguments=["--config=c.py"])
    train.start(options)
    train.start(argparse.Namespace(**{**vars(options), "gpus": True}))
    for i, (command, env) in enumerate(started):
        assert command[1:5] == ["-m", "dfm_flax", "train", "--config=c.py"]
        assert command[-4:] == ["--num-processes", "2", "--process-id", str(i % 2)]
        if i < 2:
            assert env["XLA_FLAGS"].endswith("--xla_force_host_platform_device_count=3")
        else:
            assert env["CUDA_VISIBLE_DEVICES"] == str(i % 2)
    coordinators = [command[command.index("--coordinator") + 1] for command, _ in started]
    assert coordinators[0] == coordinators[1]


def test_wrong_numbers_are_refused():
    arguments = [sys.executable, str(SCRIPT), "--processes", "0", "--", "--config=c.py"]
    process = subprocess.run(arguments, capture_output=True, text=True)
    assert process.returncode == 2
    assert "1 or more" in process.stderr


def test_lines_are_taken_though_they_cannot_be_printed(train, monkeypatch):
    """A process whose pipe is full would wait forever."""

    class Full:
        def write(self, text):
            raise OSError("No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    lines = iter(["one\n", "two\n"])
    train._mark(0, lines)
    assert list(lines) == []
