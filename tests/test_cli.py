"""The command as a user meets it: what it teaches, and each kind of wrong input."""

import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from dfm_flax.cli import main


@pytest.fixture(autouse=True)
def photo(tmp_path):
    path = tmp_path / "photo.png"
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)).save(path)
    return path


def one_line_error(capsys, code, *arguments):
    assert main([str(argument) for argument in arguments]) == code
    output = capsys.readouterr()
    lines = [line for line in output.err.splitlines() if line.startswith("dfm: ")]
    assert len(lines) == 1
    assert "Traceback" not in output.err
    return lines[0]


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["reconstruct", "--help"]])
def test_help_teaches(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0
    assert "--config" in capsys.readouterr().out or arguments[0] == "reconstruct"


def test_show_prints_the_settings_and_overrides(capsys):
    assert main(["train", "--config=configs/compress.py", "--config.model.depth=5", "--show"]) == 0
    out = capsys.readouterr().out
    assert "config.model.depth = 5\n" in out
    assert "config.training.batch_size = 64\n" in out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trian"],
        ["train", "--config=configs/compress.py"],
        ["train", "--confg=configs/compress.py"],
        ["reconstruct", "--workdir=x", "--size=10"],
        ["reconstruct", "--workdir=x", "--scale=-1"],
        ["reconstruct", "--workdir=x", "--config.a=1"],
    ],
)
def test_bad_usage_exits_with_2(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_unknown_key_names_the_near_one(capsys, tiny, tmp_path):
    line = one_line_error(
        capsys, 2, "train", *tiny, "--config.model.detph=3", f"--workdir={tmp_path / 'r'}"
    )
    assert "did you mean --config.model.depth?" in line
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "missing.png", "No such file"),
        (b"just text", "text.png", "not an image"),
        ("truncated", "cut.jpg", "truncated"),
    ],
)
def test_input_that_is_no_image(capsys, tiny, tmp_path, photo, content, name, message):
    path = tmp_path / name
    if content == "truncated":
        PIL.Image.open(photo).resize((300, 300)).save(path)
        content = path.read_bytes()[:5000]
    if content:
        path.write_bytes(content)
    line = one_line_error(
        capsys, 2, "train", *tiny, f"--config.data.images={path}", f"--workdir={tmp_path / 'r'}"
    )
    assert message in line
    assert str(path) in line
    assert not (tmp_path / "r").exists()


def test_unwritable_workdir(capsys, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    line = one_line_error(capsys, 2, "train", *tiny, f"--workdir={tmp_path / 'file' / 'r'}")
    assert "cannot write" in line


def test_batch_that_does_not_divide_over_devices(dfm, tiny, tmp_path):
    process = dfm(
        "train", *tiny, "--config.training.batch_size=63", f"--workdir={tmp_path / 'r'}", devices=2
    )
    assert process.returncode == 2
    assert "does not divide over 2 devices" in process.stderr
    assert "Traceback" not in process.stderr


def test_no_run_to_reconstruct(capsys, tmp_path):
    assert "no run here" in one_line_error(capsys, 2, "reconstruct", f"--workdir={tmp_path}")


@pytest.mark.slow
def test_a_run_from_start_to_end(capsys, tiny, tmp_path, photo):
    """Train, look at what is written, run again, change a setting, render at another size."""
    workdir = tmp_path / "run"
    arguments = [
        *tiny,
        f"--config.data.images={photo},sample:coffee",
        "--config.seeds=0,3",
        f"--workdir={workdir}",
    ]
    assert main(["train", *arguments]) == 0
    output = capsys.readouterr()
    assert "photo_seed0" in output.out
    assert "step/s" in output.err
    results = json.loads((workdir / "results.json").read_text())
    assert [entry["name"] for entry in results] == [
        "photo_seed0",
        "photo_seed3",
        "coffee_seed0",
        "coffee_seed3",
    ]
    original = np.asarray(PIL.Image.open(photo).resize((32, 24)), np.float64)
    assert original.shape == (24, 32, 3)
    for entry in results:
        with PIL.Image.open(workdir / "reconstructions" / f"{entry['name']}.png") as picture:
            assert picture.size == (24, 24)
        assert (workdir / "figures" / f"{entry['name']}.png").stat().st_size > 10_000
        assert entry["steps"] == 60
        assert 5 < entry["psnr"] < 60
    assert list(workdir.glob("events.out.tfevents*"))

    assert main(["train", *arguments]) == 0  # finished already: the same results again
    assert json.loads((workdir / "results.json").read_text()) == results
    capsys.readouterr()

    line = one_line_error(capsys, 2, "train", *arguments, "--config.model.width=4")
    assert "model.width: 3 -> 4" in line
    line = one_line_error(capsys, 2, "train", *arguments, "--config.training.num_steps=70")
    assert "training.num_steps: 60 -> 70" in line

    assert main(["reconstruct", f"--workdir={workdir}", "--size=50x20", f"--out={tmp_path}/o"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(tmp_path / "o" / f"{entry['name']}_50x20.png") for entry in results
    ]
    with PIL.Image.open(tmp_path / "o" / "photo_seed0_50x20.png") as picture:
        assert picture.size == (50, 20)


def test_help_needs_no_heavy_import():
    code = "import sys, dfm_flax.cli; print([m for m in ('jax', 'tensorflow') if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"
