import os
import subprocess
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# A machine and an image so small that a run of the real command takes a few seconds.
TINY = (
    "--config=configs/compress.py",
    "--config.data.resize=24",
    "--config.data.crop=24,24",
    "--config.model.depth=3",
    "--config.model.width=3",
    "--config.optimizer.learning_rate=3e-3",
    "--config.training.num_steps=60",
    "--config.training.log_every=5",
    "--config.training.checkpoint_every=10",
)


@pytest.fixture
def tiny():
    """Arguments of `dfm train` for a run of seconds; a later argument overrides an earlier."""
    return TINY


@pytest.fixture
def dfm():
    """Runs the real command in a process of its own and returns what it did."""

    def run(*arguments, devices=1, check=None):
        environment = os.environ | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
        }
        process = subprocess.run(
            [sys.executable, "-m", "dfm_flax", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
        )
        if check is not None:
            assert process.returncode == check, process.stderr
        return process

    return run
