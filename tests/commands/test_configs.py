"""`dfm configs`, and that configs are found from a checkout and from an installed wheel."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dfm_flax.cli import main
from dfm_flax.config import shipped_configs

ROOT = Path(__file__).parents[2]


def test_a_line_for_each_config(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(shipped_configs())
    (line,) = (line for line in lines if line.startswith("demo "))
    assert line.partition("  ")[2].lstrip().startswith("The quick start: ")
    assert main(["configs", "--paths"]) == 0
    paths = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert paths == list(map(str, shipped_configs().values()))


@pytest.mark.slow
def test_an_installed_wheel_has_its_configs(tmp_path):
    """Built from a copy, as a build leaves files in its folder, and run from another folder."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("no checkout: it is not known what belongs to it")
    source, installed, elsewhere = (tmp_path / name for name in ("source", "site", "elsewhere"))
    elsewhere.mkdir()
    for name in filter(lambda name: (ROOT / name).is_file(), listed.stdout.splitlines()):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--quiet", "-w", str(tmp_path)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    def dfm(*arguments):
        process = subprocess.run(
            [sys.executable, "-m", "dfm_flax", *arguments],
            cwd=elsewhere,
            env=os.environ | {"PYTHONPATH": str(installed), "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
        return process.stdout.splitlines()

    paths = [Path(line.split()[1]) for line in dfm("configs", "--paths")]
    inside = installed / "dfm_flax" / "configs"
    assert [str(path.relative_to(inside).with_suffix("")) for path in paths] == list(
        shipped_configs()
    )
    for name in ("compress_best:3500", "digits:vae", "sweeps/rates"):
        assert any(
            line.startswith("config.seed = 0") for line in dfm("train", "--config", name, "--show")
        )
    dfm("sample", "--pretrained", "mnist", "--num", "4", "--out", "digits.png")
    assert (elsewhere / "digits.png").is_file()
