"""Tests of the one reader of folders."""

import os

import pytest

from dfm_flax.data.image_files import (
    file_name,
    image_name,
    image_suffixes,
    is_hidden,
    list_files,
    writable_suffixes,
)
from dfm_flax.errors import UsageError


def test_suffixes_are_those_of_pictures():
    assert {".png", ".jpg", ".jpeg", ".tif", ".webp", ".bmp", ".gif"} <= image_suffixes()
    assert not {".pdf", ".mpg", ".mpeg", ".h5", ".hdf", ".grib", ".bufr"} & image_suffixes()
    assert {".png", ".jpg", ".webp"} <= writable_suffixes()
    assert not {".pdf", ".h5", ".dfm"} & writable_suffixes()


@pytest.mark.parametrize(
    "name", [".a", "@eaDir", "__MACOSX", ".thumbnails", "$RECYCLE.BIN", "Thumbs.db", "lost+found"]
)
def test_what_systems_put_beside_images_is_hidden(name):
    assert is_hidden(name)
    assert not is_hidden(f"my{name}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.PNG", "a.jpg", "README.pdf", "clip.mpg", "feat.h5", ".c.png", "Thumbs.db"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text("")
    for name in ("album.png", "@eaDir", "deeper"):
        (tmp_path / "in" / name).mkdir()
    os.mkfifo(tmp_path / "in" / "pipe.png")
    (tmp_path / "in" / "dangling.png").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


def test_a_folder(folder, caplog):
    assert list_files(["in", "sample:coffee", "other.txt"]) == [
        "in/a.jpg",
        "in/b.PNG",
        "in/dangling.png",  # to be named when it is read
        "sample:coffee",
        "other.txt",
    ]
    assert [record.message for record in caplog.records] == [
        "in: 6 left out, no images: README.pdf, album.png, clip.mpg, .."
    ]


def test_files_of_another_kind(folder):
    (folder / "A.DFM").write_text("")
    assert list_files(["in"], {".dfm"}, ".dfm files") == ["in/A.DFM"]
    (folder / "A.DFM").unlink()
    with pytest.raises(UsageError, match=r"in: no \.dfm files in this folder"):
        list_files(["in"], {".dfm"}, ".dfm files")


def test_a_tilde(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert list_files(["~/in/a.jpg"]) == [str(folder / "a.jpg")]
    assert list_files(["~photo.png", "./~photo.png"]) == ["~photo.png", "~photo.png"]


def test_pipes(folder):
    with pytest.raises(UsageError, match=r"in/pipe\.png: a named pipe"):
        list_files(["in/pipe.png"])
    reading, writing = os.pipe()
    assert list_files([f"/dev/fd/{reading}"]) == [f"/dev/fd/{reading}"]  # a shell's <(..)
    os.close(reading)
    os.close(writing)


def test_names():
    assert image_name("sample:coffee") == "coffee"
    assert image_name("a/b.c.png") == "b.c"
    assert file_name("n" * 300) == "n" * 200
    assert file_name(os.fsdecode(b"\xff")) == "?"
