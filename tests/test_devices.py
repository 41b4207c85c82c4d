"""Several devices, as the CPU can pretend to have: the batch is sharded, the results stay."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
# Where the tests are that run on all devices, as many as they find: those marked `devices`.
TESTS = (
    "training/test_step.py",
    "training/test_feed.py",
    "training/test_placement.py",
    "training/test_table.py",
    "generation/test_feed.py",
)


@pytest.mark.parametrize("devices", [2, 3, 4])
def test_the_tests_of_steps_pass(devices):
    # Fresh, as pytest has to be there before dfm_flax is imported: it checks the annotations.
    process = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "devices"),
            *(str(HERE / name) for name in TESTS),
        ],
        env=os.environ
        | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
            "EXPECTED_DEVICES": str(devices),
        },
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout


def curves(workdir):
    """Losses [logs, machines] of a run."""
    newest = max((workdir / "checkpoints").iterdir(), key=lambda path: int(path.name))
    progress = json.loads(next((newest / "progress").iterdir()).read_text())
    return np.array([losses for _, losses in progress["history"]])


@pytest.mark.parametrize("sampling", ["uniform", "stratified"])
def test_runs_of_many_machines_have_the_same_curves_and_machines(dfm, tiny, tmp_path, sampling):
    arguments = [
        *tiny,
        "--config.data.images=sample:astronaut,sample:coffee",
        "--config.num_seeds=2",
        f"--config.training.sampling={sampling}",
    ]
    for devices in (1, 2, 4):
        workdir = tmp_path / str(devices)
        dfm("train", *arguments, f"--workdir={workdir}", devices=devices, check=0)
    expected = curves(tmp_path / "1")
    assert expected.shape == (12, 4)
    for devices in (2, 4):
        np.testing.assert_allclose(curves(tmp_path / str(devices)), expected, rtol=1e-4)
        pictures = sorted((tmp_path / "1" / "reconstructions").iterdir())
        assert len(pictures) == 4
        for picture in pictures:
            other = tmp_path / str(devices) / "reconstructions" / picture.name
            one, many = (np.asarray(PIL.Image.open(p), int) for p in (picture, other))
            assert np.abs(one - many).max() <= 1
