import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = sorted([*Path("launch").rglob("*.sh"), *Path("launch").rglob("*.sbatch")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_parse_it(script):
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_shellcheck_finds_nothing():
    assert SCRIPTS
    process = subprocess.run(["shellcheck", *SCRIPTS], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout
