"""docs/how-to/extend.md as it is printed: its files are written, and its commands run."""

import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests import fork_server

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "extend.md"
FILES = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text(), re.S)
COMMANDS = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.S)

pytestmark = pytest.mark.slow


def scalars(run):
    events = EventAccumulator(str(run))
    events.Reload()
    return events.Tags()["tensors"]


def test_each_idea_is_one_file_outside_of_the_package(tmp_path):
    assert [name for name, _ in FILES] == [
        f"{idea}.py" for idea in ("octaves", "brightness", "linear", "shuffled", "disks", "spread")
    ]
    assert len(COMMANDS) == len(FILES)
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    for line in COMMANDS:
        program, *arguments = shlex.split(line.replace("\\\n", " "))
        assert program == "dfm"
        script = Path(sys.executable).with_name("dfm")
        command = [script] if script.exists() else ["-m", "dfm_flax"]
        process = fork_server.run(
            [sys.executable, *command, *arguments],
            cwd=tmp_path,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
            text=True,
            timeout=300,
        )
        assert process.returncode == 0, f"{line}\n{process.stderr}"
    with PIL.Image.open(tmp_path / "shuffled.png") as picture:
        assert np.asarray(picture).std() > 20
    assert "mean_color" in scalars(tmp_path / "runs" / "brightness")
    assert "at_a_glance/latents/deviation" in scalars(tmp_path / "runs" / "spread")
