import subprocess
import sys

import pytest


@pytest.mark.slow
def test_a_drill_of_some_runs():
    """launch/local/fault_drill.py has a table of its own; here two runs must be equal."""
    drill = subprocess.run(
        [sys.executable, "launch/local/fault_drill.py", "--runs", "2", "--seed", "73"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert "2 of 2 equal, 0 hung" in drill.stdout
