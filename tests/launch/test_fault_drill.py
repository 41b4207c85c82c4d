import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--streamed",)])
def test_a_drill_of_one_run(options):
    """tests/launch/fault_drill.py kills 50; here process 1 is killed after step 30."""
    command = [sys.executable, "tests/launch/fault_drill.py", "--runs", "1", "--seed", "10"]
    drill = subprocess.run([*command, *options], capture_output=True, text=True, timeout=600)
    assert drill.returncode == 0, drill.stdout + drill.stderr
    assert "1 of 1 equal, 0 hung" in drill.stdout
