"""launch/slurm on a real Slurm of one node, which tests/launch/one_node_cluster.sh brings up."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

TOOLS = ("munged", "slurmctld", "slurmd", "sbatch")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, TOOLS)) or os.geteuid() != 0,
        reason="no Slurm here, or not root: apt-get install slurm-wlm munge",
    ),
]


@pytest.fixture
def slurm():
    """The environment in which Slurm's commands find a cluster of this node."""
    with socket.socket() as a, socket.socket() as b:
        a.bind(("localhost", 0))
        b.bind(("localhost", 0))
        ports = [free.getsockname()[1] for free in (a, b)]
    # A short name: paths of sockets have at most 108 bytes.
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    environment = os.environ | {
        "SLURMCTLD_PORT": str(ports[0]),
        "SLURMD_PORT": str(ports[1]),
        "SLURM_CONF": str(folder / "slurm.conf"),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "",
        "DFM": f"{sys.executable} -m dfm_flax",
        "PYTHONPATH": os.getcwd(),
    }
    script = "tests/launch/one_node_cluster.sh"
    subprocess.run([script, "start", folder], env=environment, check=True, timeout=120)
    yield environment
    subprocess.run(["scancel", "--user=root"], env=environment)
    wait_for(lambda: not squeue(environment, "--user=root"), lambda: "jobs do not end")
    subprocess.run([script, "stop", folder], env=environment, check=True)
    shutil.rmtree(folder, ignore_errors=True)


def wait_for(condition, what, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def squeue(environment, selection):
    """The states of jobs, one a line."""
    command = ["squeue", "--noheader", "--format=%T", selection]
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


def test_a_job_that_is_told_to_stop_is_saved_and_queued_again(slurm, tiny, tmp_path):
    log, workdir = tmp_path / "log", tmp_path / "run"
    command = [
        *("sbatch", "--parsable", "--gpus-per-node=0", "--ntasks-per-node=2"),
        *("--cpus-per-task=1", f"--output={log}", "launch/slurm/train.sbatch"),
        *(*tiny, "--config.training.num_steps=1000000", f"--workdir={workdir}"),
    ]
    job = subprocess.run(
        command, env=slurm, check=True, capture_output=True, text=True
    ).stdout.strip()

    def text():
        return log.read_text() if log.exists() else ""

    wait_for(lambda: any((workdir / "checkpoints").glob("[0-9]*")), text)
    subprocess.run(["scancel", "--signal=TERM", job], env=slurm, check=True)
    wait_for(lambda: "queued again" in text(), text)
    assert f"job {job} ended with 75" in text()
    assert text().count("stopped by SIGTERM at step") == 2

    wait_for(lambda: squeue(slurm, f"--jobs={job}") == "PENDING", text)


def test_an_element_of_an_array_is_queued_again_without_the_others(slurm, tiny, tmp_path):
    config = tmp_path / "two.py"
    config.write_text(
        "from ml_collections import ConfigDict\n"
        "from dfm_flax.config import load_config\n"
        "def get_config():\n"
        "    config = load_config('compress').unlock()\n"
        "    config.grid = ConfigDict({'optimizer': {'learning_rate': (1e-3, 2e-3)}})\n"
        "    return config\n"
    )
    workdir = tmp_path / "sweep"
    command = [
        *("sbatch", "--parsable", "--array=0-1", "--gpus=0", "--cpus-per-task=1"),
        *(f"--output={tmp_path}/log%a", "launch/slurm/sweep.sbatch", f"--config={config}"),
        *(*tiny[1:], "--config.training.num_steps=1000000", f"--workdir={workdir}"),
    ]
    job = subprocess.run(
        command, env=slurm, check=True, capture_output=True, text=True
    ).stdout.strip()

    def text():
        return "\n".join(log.read_text() for log in sorted(tmp_path.glob("log?")))

    def saved(cell):
        return any(workdir.glob(f"cells/{cell}_*/checkpoints/[0-9]*"))

    wait_for(lambda: saved(0) and saved(1), text)
    # Of the last element Slurm's own number is that of the array.
    subprocess.run(["scancel", "--signal=TERM", f"{job}_1"], env=slurm, check=True)
    wait_for(lambda: "queued again" in text(), text)
    assert "shard 1/2 ended with 75" in text()
    wait_for(lambda: squeue(slurm, f"--jobs={job}_1") == "PENDING", text)
    time.sleep(2)
    assert squeue(slurm, f"--jobs={job}_0") == "RUNNING", text()
    assert "CANCELLED" not in (tmp_path / "log0").read_text()
