"""Shell scripts and the Dockerfile, by the tools that look for what goes wrong in them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted(
    [*Path("launch").rglob("*.sh"), *Path("launch").rglob("*.sbatch"), *Path("tests").rglob("*.sh")]
)


def tool(name):
    """A command that pip installs beside this Python, or that is on the path."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: pip install -c constraints.txt '.[dev]'")
    return found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_parse_it(script):
    subprocess.run(["bash", "-n", script], check=True)


def test_shellcheck_finds_nothing(tmp_path):
    command = tool("shellcheck")
    assert SCRIPTS
    process = subprocess.run([command, *SCRIPTS], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout
    (tmp_path / "bad.sh").write_text("#!/bin/bash\ncd $1 && rm -r $2/*\n")
    process = subprocess.run([command, tmp_path / "bad.sh"], capture_output=True, text=True)
    assert process.returncode == 1
    assert "SC2086" in process.stdout


def test_hadolint_finds_nothing(tmp_path):
    command = tool("hadolint")
    dockerfile = Path("launch/kubernetes/Dockerfile")
    process = subprocess.run([command, dockerfile], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout
    bad = tmp_path / "Dockerfile"
    bad.write_text(dockerfile.read_text().replace("python:3.11-slim", "python"))
    process = subprocess.run([command, bad], capture_output=True, text=True)
    assert process.returncode == 1
    assert "DL3006" in process.stdout
