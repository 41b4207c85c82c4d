"""`dfm sample`, `interpolate` and `reconstruct` of a generator, as a user meets them."""

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from dfm_flax.cli import main

pytestmark = pytest.mark.slow  # needs a trained generator


def size(path):
    with PIL.Image.open(path) as picture:
        return picture.size


def one_line_error(capsys, *arguments):
    assert main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("dfm: ") for line in lines) == 1
    return lines[-1]


def test_pictures_folders_and_arrays(runs, tmp_path, capsys):
    workdir = f"--workdir={runs('dfm')}"
    assert main(["sample", workdir, "--num=6", f"--out={tmp_path}/grid.png", "--size=20"]) == 0
    assert size(tmp_path / "grid.png") == (3 * 22 - 2, 2 * 22 - 2)
    assert main(["sample", workdir, "--num=1000", f"--out={tmp_path}/s.npz", "--prior=gmm"]) == 0
    with np.load(tmp_path / "s.npz") as arrays:
        assert arrays["images"].shape == (1000, 8, 8, 1)
    ends = ["--from=0", "--to=9", "--steps=4"]
    assert main(["interpolate", workdir, *ends, f"--out={tmp_path}/way", "--size=9x7"]) == 0
    assert [size(path) for path in (tmp_path / "way").iterdir()] == [(9, 7)] * 4
    files = sorted(map(str, (tmp_path / "way").iterdir()))
    out = f"--out={tmp_path}/r.png"
    assert main(["reconstruct", workdir, out, "--scale=2", "--images", *files]) == 0
    assert size(tmp_path / "r.png") == (34, 34)
    assert main(["reconstruct", workdir, f"--out={tmp_path}/t.npz", "--split=test"]) == 0
    with np.load(tmp_path / "t.npz") as arrays:
        assert 300 < len(arrays["images"]) < 450  # a fifth of 1,797
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{tmp_path}/{name}" for name in ("grid.png", "s.npz", "way", "r.png", "t.npz")
    ]


def test_a_class(runs, tmp_path, capsys):
    workdir = f"--workdir={runs('dfm')}"
    drawn = []
    for number in ("1", "7"):
        out = tmp_path / f"{number}.npz"
        assert main(["sample", workdir, "--num=20", f"--class={number}", f"--out={out}"]) == 0
        with np.load(out) as arrays:
            drawn.append(arrays["images"].astype(float))
    assert not np.allclose(drawn[0], drawn[1])
    line = one_line_error(capsys, "sample", workdir, "--class=10", f"--out={tmp_path}/o.png")
    assert "class 10: digits has classes 0 to 9" in line
    with pytest.raises(SystemExit):
        main(["sample", workdir, "--class=-1", f"--out={tmp_path}/o.png"])
    assert "-1 is no class: they are counted from 0" in capsys.readouterr().err


def test_wrong_input_is_one_line(runs, tmp_path, capsys):
    workdir, out = f"--workdir={runs('dfm')}", f"--out={tmp_path}/o.png"
    line = one_line_error(capsys, "sample", workdir, out, "--prior=flows")
    assert "'flows' is not one of flow, flow_matching, gaussian, gmm, normal" in line
    line = one_line_error(capsys, "interpolate", workdir, out, "--from=0", "--to=1797")
    assert "image 1797: the run has images 0 to 1796" in line
    assert "no run here" in one_line_error(capsys, "sample", f"--workdir={tmp_path}", out)
    assert "no image given" in one_line_error(capsys, "reconstruct", workdir, out)
    line = one_line_error(capsys, "sample", workdir, f"--out={tmp_path}/o.xyz")
    assert "use a suffix such as .png" in line
    assert "use a suffix such as .png" in one_line_error(
        capsys, "sample", f"--workdir={tmp_path}", f"--out={tmp_path}/o.xyz"
    )  # before any work, even of looking for a run
    with pytest.raises(SystemExit):
        main(["sample", workdir, out, "--seed=-1"])
    assert "seed -1: a seed is from 0 to 4294967295" in capsys.readouterr().err
    assert not list(tmp_path.glob("o*"))


def test_a_fresh_process_needs_neither_tensorflow_nor_the_data(runs, tmp_path):
    code = f"""
import sys
from dfm_flax.cli import main
main(["sample", "--workdir={runs("vae")}", "--prior=normal", "--num=2", "--out={tmp_path}/s.png"])
print([m for m in ("tensorflow", "tensorflow_datasets", "sklearn") if m in sys.modules])
"""
    process = subprocess.run(  # fresh, as it is about imports
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines()[-1] == "[]"


def test_a_run_of_compression_has_none_of_it(tmp_path, capsys):
    from dfm_flax.config import load_config
    from dfm_flax.runs import Run

    Run(tmp_path / "run").write_config(load_config("compress"))
    workdir, out = f"--workdir={tmp_path / 'run'}", f"--out={tmp_path}/o.png"
    for arguments, what in (
        (["sample", out], "samples"),
        (["interpolate", out, "--from=0", "--to=1"], "interpolations"),
        (["evaluate"], "evaluation"),
    ):
        line = one_line_error(capsys, *arguments, workdir)
        assert line.endswith(f"run: a run of compression has no {what}")
    line = one_line_error(capsys, "reconstruct", out, workdir, "--split=test")
    assert "a run of compression: no --images, no --split" in line
