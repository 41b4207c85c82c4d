"""`dfm configs`, and that configs are found from a checkout and from an installed wheel."""

import os
import subprocess
import sys
import tarfile
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
def test_a_wheel_of_the_sdist_has_configs_and_what_ships(tmp_path):
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
    build = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("*.tar.gz")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--quiet", "--target", installed, sdist], check=True, timeout=300)
    with tarfile.open(sdist) as archive:  # a wheel has the kernels where there is a compiler
        names = {name.partition("/")[2] for name in archive.getnames()}
    kernels = (ROOT / "dfm_flax" / "fourier" / "kernels").iterdir()
    assert {file.relative_to(ROOT).as_posix() for file in kernels} <= names
    assert (installed / "bin" / "dfm").is_file()

    def dfm(*arguments):
        process = subprocess.run(  # fresh, as it is of another installation
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
