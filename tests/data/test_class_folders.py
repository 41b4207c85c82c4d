"""Tests of images in folders: which splits and classes they have, and what is refused."""

import os

import numpy as np
import PIL.Image
import pytest

from dfm_flax.data.class_folders import Entry, arrange, decode_entries, list_folder
from dfm_flax.errors import UsageError

RNG = np.random.default_rng(0)


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(array).save(path, **options)


def noise(*shape):
    return RNG.integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["b.png", "a.JPG"], [("a.JPG", "", ""), ("b.png", "", "")]),
        (["cat/1.png", "ape/2.png"], [("ape/2.png", "", "ape"), ("cat/1.png", "", "cat")]),
        (
            ["train/cat/1.png", "test/cat/1.png"],
            [("test/cat/1.png", "test", "cat"), ("train/cat/1.png", "train", "cat")],
        ),
        (["train/1.png", "test/1.png"], [("test/1.png", "test", ""), ("train/1.png", "train", "")]),
        (["train/1.png", "cat/1.png"], [("cat/1.png", "", "cat"), ("train/1.png", "", "train")]),
        (
            [".a/1.png", "__MACOSX/a/1.png", "@eaDir/1.png", "b/.x.png", "_b/1.png"],
            [("_b/1.png", "", "_b")],
        ),
        (
            ["Train/1.png", "Test/1.png", "val/1.png"],
            [
                ("Test/1.png", "test", ""),
                ("Train/1.png", "train", ""),
                ("val/1.png", "validation", ""),
            ],
        ),
        (["a/1.png", "a/README.pdf", "a/clip.mpg", "a/feat.h5"], [("a/1.png", "", "a")]),
    ],
)
def test_splits_and_classes(paths, expected):
    assert arrange(paths, "here") == [Entry(*entry) for entry in expected]


def test_other_files_are_named_in_a_warning(caplog):
    assert len(arrange(["a/1.png", "a/notes.txt", "README"], "here")) == 1
    assert "here: 2 left out, no images: README, a/notes.txt" in caplog.text


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "here: no images there"),
        (["a.txt"], "here: no images there"),
        (["a/b/1.png"], "a/b/1.png lies too deep"),
        (["train/a/b/1.png"], "train/a/b/1.png lies too deep"),
        (["a/b/c/1.png"], "a/b/c/1.png lies too deep"),
        (["train/1.png", "test/1.png", "cat/1.png"], "are test and train splits or classes.* cat"),
        (["train/1.png", "val/1.png", "1.png"], "splits or classes.* images beside them"),
        (["val/1.png", "valid/1.png"], "of val and valid two are the same split"),
        (["a/1.png", "1.png"], "1.png lies beside the folders of classes"),
    ],
)
def test_refused(paths, message):
    with pytest.raises(UsageError, match=message):
        arrange(paths, "here")


def test_files_are_found_below_a_folder(tmp_path):
    for name in ("b/2.png", "a.png", "b/c/1.png", "b/c/d/too deep.png"):
        write(tmp_path / name, noise(2, 2))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "b" / "back").symlink_to(tmp_path)
    write(tmp_path / "@eaDir" / "a.png", noise(2, 2))
    assert list_folder(tmp_path) == ["a.png", "b/2.png", "b/c/1.png", "b/c/d/too deep.png"]
    with pytest.raises(UsageError, match="no such folder"):
        list_folder(tmp_path / "none")


@pytest.fixture
def decode(tmp_path):
    def decode(names, **options):
        entries = [Entry(name, "", "") for name in names]
        return decode_entries(
            entries, lambda path: (tmp_path / path).read_bytes(), "here", **options
        )

    return decode


def test_images_come_as_they_are(tmp_path, decode):
    images = noise(3, 5, 4, 3)
    for i, image in enumerate(images):
        write(tmp_path / f"{i}.png", image)
    np.testing.assert_array_equal(decode(["0.png", "1.png", "2.png"]), images)


def test_gray_stays_gray_unless_another_has_color(tmp_path, decode):
    gray, color = noise(4, 5), noise(4, 5, 3)
    write(tmp_path / "gray.png", gray)
    write(tmp_path / "color.png", color)
    np.testing.assert_array_equal(decode(["gray.png", "gray.png"])[1], gray[..., np.newaxis])
    both = np.stack([np.stack([gray] * 3, -1), color])
    np.testing.assert_array_equal(decode(["gray.png", "color.png"]), both)
    np.testing.assert_array_equal(decode(["color.png", "gray.png"]), both[::-1])


def test_center_at_a_size(tmp_path, decode):
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 2:6] = 200  # the center
    write(tmp_path / "wide.png", image)
    write(tmp_path / "tall.png", image.transpose(1, 0, 2))
    images = decode(["wide.png", "tall.png"], size=4)
    np.testing.assert_array_equal(images, np.full((2, 4, 4, 3), 200))
    assert decode(["wide.png"], size=2).shape == (1, 2, 2, 3)
    assert decode(["wide.png"], size=9).shape == (1, 9, 9, 3)


def test_different_sizes(tmp_path, decode):
    write(tmp_path / "a.png", noise(4, 5))
    write(tmp_path / "b.png", noise(5, 4))
    with pytest.raises(UsageError, match=r"b.png has 5 x 4 pixels, a.png 4 x 5; bring all to one"):
        decode(["a.png", "b.png"])


def test_unreadable_images(tmp_path, decode):
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(UsageError, match=r"here/a\.png: not an image"):
        decode(["a.png"])
    with pytest.raises(UsageError, match=r"here/b\.png: No such file"):
        decode(["b.png"])


def test_more_than_fits_into_memory(tmp_path, decode, monkeypatch):
    write(tmp_path / "a.png", noise(4, 5, 3))
    free = type("Memory", (), {"available": 5999})
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    with pytest.raises(UsageError, match=r"here takes 6,000 bytes of memory and 5,999 are free"):
        decode(100 * ["a.png"])


def test_what_is_not_in_the_images_is_told_once_for_all(tmp_path, decode, caplog):
    clear = noise(4, 4, 4)
    for name in "abc":
        write(tmp_path / "x" / f"{name}.png", clear)
    write(tmp_path / "x" / "d.png", np.full((4, 4), 1000, np.uint16))
    decode(["x/a.png", "x/b.png", "x/c.png", "x/d.png"])
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "here/x/a.png and 2 others: transparency is shown over white",
        "here/x/d.png: its 16 bits a sample are read as 8",
    ]
