import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from dfm_flax.cli import main
from dfm_flax.codec.container import write
from dfm_flax.data.images import read_image
from dfm_flax.models.rendering import render

GRIDS = Path(__file__).parents[1] / "codec" / "pyramid" / "golden_v3.dfm"


@pytest.fixture
def files(tmp_path, quantized):
    """A folder with a file of each kind of machine."""
    for i, name in enumerate(quantized.names):
        write(tmp_path / "in" / f"{i}.dfm", quantized(name, levels=65535 if i == 1 else 255))
    return tmp_path / "in"


def run(*arguments):
    return main(["decompress", *map(str, arguments)])


def test_the_image_is_the_machine_at_its_pixels(files, tmp_path, quantized):
    assert run(files / "0.dfm", "-o", tmp_path / "a.png") == 0
    image = quantized("best")
    expected = render(image.machine, image.params, 20, 30)
    decoded = read_image(tmp_path / "a.png")
    assert decoded.levels == 255
    np.testing.assert_allclose(decoded.pixels, expected, atol=0.51 / 255)


def test_scale_and_region(files, tmp_path):
    assert run(files / "0.dfm", "-o", tmp_path / "a.png", "--scale", "2.5") == 0
    region = ("--scale", "2.5", "--region", "10,5,40,30")
    assert run(files / "0.dfm", "-o", tmp_path / "b.png", *region) == 0
    whole, part = (read_image(tmp_path / name).pixels for name in ("a.png", "b.png"))
    assert whole.shape == (50, 75, 3)
    np.testing.assert_array_equal(part, whole[5:35, 10:50])


def test_folders_become_folders_and_damage_is_named(files, tmp_path, capsys):
    data = (files / "2.dfm").read_bytes()
    (files / "2.dfm").write_bytes(data[:-9])
    assert run(files, "-o", tmp_path / "out") == 1
    output = capsys.readouterr()
    assert output.err.splitlines() == [
        f"dfm: cannot read {files / '2.dfm'}: it is damaged or cut short: its checksum is wrong"
    ]
    assert output.out.splitlines() == [str(tmp_path / "out" / f"{i}.png") for i in (0, 1, 3, 4)]
    assert read_image(tmp_path / "out" / "1.png").levels == 65535


WRONG = {
    "--region=0,0,31,5": "not within the 30x20 pixels",
    "--region=0,0,0,5": "sizes are at least 1",
    "--scale=1e5": "are free",
    "--scale=1e7": "are free|too many",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_requests_are_one_line(files, tmp_path, capsys, wrong):
    assert run(files / "0.dfm", "-o", tmp_path / "a.png", wrong) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert any(part in line for part in WRONG[wrong].split("|"))
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("region", ["1,2,3", "a,0,1,1", "-1,0,2,2"])
def test_a_region_is_four_numbers(files, tmp_path, region):
    with pytest.raises(SystemExit) as stop:
        run(files / "0.dfm", "-o", tmp_path / "a.png", f"--region={region}")
    assert stop.value.code == 2


def test_a_folder_without_files(tmp_path, capsys):
    assert run(tmp_path, "-o", tmp_path) == 2
    assert "no .dfm files" in capsys.readouterr().err


@pytest.mark.slow
def test_other_processes_devices_and_precisions_decode_the_same(dfm, files, tmp_path, monkeypatch):
    shutil.copy(GRIDS, files)
    pictures = []
    for devices, float64 in ((1, "0"), (4, "0"), (1, "1")):
        monkeypatch.setenv("JAX_ENABLE_X64", float64)
        out = tmp_path / f"{devices}_{float64}"
        dfm("decompress", files, "-o", out, devices=devices, check=0)
        pictures.append([np.asarray(PIL.Image.open(f), int) for f in sorted(out.iterdir())])
    assert len(pictures[0]) == 6
    for one, *others in zip(*pictures, strict=True):
        for other in others:
            assert np.abs(one - other).max() <= 1


SCRIPT = """
import json, sys, time
from dfm_flax.cli import main
start = time.process_time()
assert main(sys.argv[1:]) == 0
heavy = [m for m in ("tensorflow", "tensorflow_datasets", "torch", "sklearn") if m in sys.modules]
print(json.dumps([heavy, time.process_time() - start]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["machine", "grids"])
def test_decoding_starts_fast(tmp_path, quantized, pyramid_image, method):
    """768x512 pixels without TensorFlow, in seconds of processor time."""
    make = {"machine": quantized, "grids": pyramid_image}[method]
    write(tmp_path / "a.dfm", make(width=768, height=512))
    arguments = ["decompress", tmp_path / "a.dfm", "-o", tmp_path / "a.png"]
    process = subprocess.run(  # fresh, as it is about imports and the time of a start
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    heavy, seconds = json.loads(process.stdout.splitlines()[-1])
    assert heavy == []
    assert seconds < 10  # about 1 where nothing else runs


def test_hostile_work_is_refused_at_once(tmp_path, capsys, quantized):
    """Noise in a file's place, of any length, costs no time."""
    rng = np.random.default_rng(0)
    start = time.process_time()
    for length in (0, 3, 100, 10**6):
        (tmp_path / "noise.dfm").write_bytes(rng.bytes(length))
        assert run(tmp_path / "noise.dfm", "-o", tmp_path / "a.png") == 2
    assert time.process_time() - start < 2
    assert len(capsys.readouterr().err.splitlines()) == 4
