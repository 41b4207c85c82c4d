"""Tests of `dfm data` as a user meets it."""

import gzip
import struct

import numpy as np
import PIL.Image
import pytest

from dfm_flax.cli import main


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def originals(tmp_path):
    folder = tmp_path / "originals"
    folder.mkdir()
    for stem, count in (("train", 12), ("t10k", 5)):
        images = np.full((count, 28, 28), 7, np.uint8)
        write_idx(folder / f"{stem}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", np.zeros(count, np.uint8))
    return folder


def test_import_list_and_show(originals, tmp_path, capsys):
    place = ["--data-dir", str(tmp_path / "tfds")]
    assert main(["data", "list", *place]) == 0
    assert "no sets here" in capsys.readouterr().out

    assert main(["data", "import", "mnist", str(originals), *place]) == 0
    output = capsys.readouterr()
    assert output.out.startswith(str(tmp_path / "tfds" / "mnist"))
    assert len(output.out.splitlines()) == 1

    assert main(["data", "list", *place]) == 0
    assert "train 12, test 5" in capsys.readouterr().out

    sheet = tmp_path / "sheet.png"
    assert main(["data", "show", "mnist", "--split", "test", "--out", str(sheet), *place]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mnist, test: 5 images of 28 x 28 pixels, gray, 10 classes, 3,920 bytes",
        str(sheet),
    ]
    with PIL.Image.open(sheet) as picture:
        assert picture.getpixel((0, 0)) == 7


def test_errors_are_one_line(originals, tmp_path, capsys):
    (originals / "t10k-labels-idx1-ubyte.gz").write_bytes(b"nonsense")
    place = ["--data-dir", str(tmp_path / "tfds")]
    assert main(["data", "import", "mnist", str(originals), *place]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"dfm: {originals}/t10k-labels-idx1-ubyte.gz: starts with")
    assert len(output.err.splitlines()) == 1
    assert not (tmp_path / "tfds").exists()


@pytest.mark.parametrize("arguments", [[], ["import"], ["import", "mnist"], ["show"], ["lst"]])
def test_bad_usage(arguments):
    with pytest.raises(SystemExit) as stop:
        main(["data", *arguments])
    assert stop.value.code == 2


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    assert "dfm data import mnist" in capsys.readouterr().out
