"""Tests of the sets that need no TFDS: scikit-learn's digits and folders."""

import subprocess
import sys
import zlib

import numpy as np
import PIL.Image
import pytest
import sklearn.datasets

from dfm_flax.data.image_sets import absolute_place, load_image_set
from dfm_flax.errors import UsageError


def test_a_folder_needs_its_path():
    with pytest.raises(UsageError, match="write folder:PATH"):
        load_image_set("folder:")


def test_digits_are_scikit_learns():
    loaded = load_image_set("digits")
    original = sklearn.datasets.load_digits()
    assert loaded.images.shape == (1797, 8, 8, 1)
    assert (loaded.images.dtype, loaded.labels.dtype) == (np.uint8, np.int32)
    np.testing.assert_allclose(loaded.images[..., 0], original.images / 16 * 255, atol=0.5)
    np.testing.assert_array_equal(loaded.labels, original.target)
    assert loaded.num_classes == 10


def test_held_out_digits_are_a_fifth_of_all_classes():
    whole, train, test = (load_image_set("digits", split) for split in ("all", "train", "test"))
    held_out = [i for i in range(1797) if zlib.crc32(str(i).encode()) % 5 == 0]
    np.testing.assert_array_equal(test.images, whole.images[held_out])
    np.testing.assert_array_equal(test.labels, whole.labels[held_out])
    np.testing.assert_array_equal(train.images, np.delete(whole.images, held_out, axis=0))
    assert 0.18 < len(held_out) / 1797 < 0.22
    assert np.bincount(test.labels, minlength=10).min() > 20


def test_parts_of_digits_and_folders_are_the_whole_cut_in_order(class_folder):
    for name in ("digits", f"folder:{class_folder}"):
        whole = load_image_set(name)
        parts = [load_image_set(name, part=(i, 4)) for i in range(4)]
        np.testing.assert_array_equal(np.concatenate([p.images for p in parts]), whole.images)
        np.testing.assert_array_equal(np.concatenate([p.labels for p in parts]), whole.labels)
        assert {part.num_classes for part in parts} == {10}
    with pytest.raises(UsageError, match="1797 images cannot be shared out over 2000 processes"):
        load_image_set("digits", part=(0, 2000))


def test_digits_need_no_tensorflow():
    code = (
        "import sys; from dfm_flax.data.image_sets import load_image_set; load_image_set('digits');"
        "print([name for name in ('tensorflow', 'tensorflow_datasets') if name in sys.modules])"
    )
    # Fresh, as it is about imports.
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == "[]", process.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"split": "validation"},
            "data set digits: no split 'validation'; it has all, train, test",
        ),
        ({"size": 28}, "has 8x8 pixels only"),
        ({"size": -1}, "size=-1"),
    ],
)
def test_digits_refuse(options, message):
    with pytest.raises(UsageError, match=message):
        load_image_set("digits", **options)


@pytest.fixture
def pictures(tmp_path):
    """A folder of 30 gray pictures of 4 x 6 pixels; the value of a picture is its number."""
    for i in range(30):
        PIL.Image.new("L", (6, 4), i).save(tmp_path / f"{i:02d}.png")
    return tmp_path


def test_a_folder_without_classes(pictures):
    loaded = load_image_set(f"folder:{pictures}")
    assert loaded.images.shape == (30, 4, 6, 1)
    np.testing.assert_array_equal(loaded.images[:, 0, 0, 0], np.arange(30))
    assert (loaded.num_classes, loaded.labels.max()) == (1, 0)
    assert load_image_set(f"folder:{pictures}", size=3).images.shape == (30, 3, 3, 1)


def test_what_is_held_out_does_not_change_when_images_are_added(pictures):
    def held_out():
        return set(load_image_set(f"folder:{pictures}", "test").images[:, 0, 0, 0].tolist())

    before = held_out()
    assert before == {i for i in range(30) if zlib.crc32(f"{i:02d}.png".encode()) % 5 == 0}
    train = load_image_set(f"folder:{pictures}", "train").images[:, 0, 0, 0]
    assert before.isdisjoint(train.tolist())
    assert len(before) + len(train) == 30
    PIL.Image.new("L", (6, 4), 99).save(pictures / "another.png")
    assert held_out() - {99} == before


def test_a_folder_with_classes_and_splits(class_folder):
    whole = load_image_set(f"folder:{class_folder}")
    assert (len(whole.images), whole.num_classes) == (30, 10)
    np.testing.assert_array_equal(whole.images[:, 0, 0, 0], whole.labels + ord("a"))
    for split, count in (("train", 20), ("test", 10)):
        part = load_image_set(f"folder:{class_folder}", split)
        assert len(part.images) == count
        np.testing.assert_array_equal(part.images[:, 0, 0, 0], part.labels + ord("a"))
    one_split = load_image_set(f"folder:{class_folder / 'train'}")
    assert (len(one_split.images), one_split.num_classes) == (20, 10)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("folder:nowhere", "all", "nowhere: no such folder"),
        ("folder:{}", "nothing", "no split 'nothing'"),
        ("folder:{}/one", "test", "too small, no image falls to 'test'; use all"),
    ],
)
def test_folders_refuse(pictures, name, split, message):
    names = (f"{i:02d}.png" for i in range(30))
    train = next(name for name in names if zlib.crc32(name.encode()) % 5)
    (pictures / "one").mkdir()
    (pictures / train).rename(pictures / "one" / train)
    for path in pictures.glob("*.png"):
        path.unlink()
    with pytest.raises(UsageError, match=message):
        load_image_set(name.format(pictures), split)


def test_a_split_that_a_folder_lacks(class_folder):
    with pytest.raises(UsageError, match="no split 'validation' in it"):
        load_image_set(f"folder:{class_folder}", "validation")


@pytest.fixture
def sets_of_a_user(monkeypatch, tmp_path):
    (tmp_path / "sets_of_a_user.py").write_text(
        "import numpy as np\n"
        "from dfm_flax.data.image_source import ImageSet\n"
        "from dfm_flax.errors import UsageError\n"
        "def dots(split, data_dir, size, part):\n"
        "    if split == 'none':\n"
        "        raise UsageError('no such split')\n"
        "    assert data_dir == 'here'\n"
        "    index, parts = part\n"
        "    images = np.arange(8, dtype=np.uint8)[index::parts].repeat(size * size)\n"
        "    images = images.reshape(-1, size, size, 1)\n"
        "    return ImageSet('dots', images, np.zeros(len(images), np.int32), 1)\n"
        "def numbers(**arguments): return [1, 2]\n"
        "def wide(**arguments):\n"
        "    return ImageSet('', np.zeros((2, 3, 3, 2), np.uint8), np.zeros(2, np.int32), 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_set_by_import_path(sets_of_a_user):
    loaded = load_image_set("sets_of_a_user:dots", "all", "here", 2, part=(1, 4))
    assert loaded.images[:, 0, 0, 0].tolist() == [1, 5]
    assert loaded.images.shape == (2, 2, 2, 1)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("dots", "none", "data set sets_of_a_user:dots: no such split"),
        ("dots", "all", "data set sets_of_a_user:dots: AssertionError"),
        ("numbers", "all", "gave a list, not an ImageSet"),
        ("wide", "all", r"its images are uint8 \[2, 3, 3, 2\], not uint8"),
        ("stripes", "all", "data set 'sets_of_a_user:stripes' cannot be imported"),
    ],
)
def test_functions_that_give_no_set(sets_of_a_user, name, split, message):
    with pytest.raises(UsageError, match=message):
        load_image_set(f"sets_of_a_user:{name}", split, "elsewhere")


def test_a_place_means_the_same_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert absolute_place("folder:a/b", "tfds") == (f"folder:{tmp_path}/a/b", f"{tmp_path}/tfds")
    assert absolute_place("folder:~/a", "") == ("folder:/home/somebody/a", "")
    assert absolute_place("digits", "") == ("digits", "")
    assert absolute_place("my_module:function", "/t") == ("my_module:function", "/t")


def test_flat_folders_of_splits_do_not_leak(tmp_path):
    for i, name in enumerate(("Train", "val", "TEST")):
        (tmp_path / name).mkdir()
        for j in range(i + 1):
            PIL.Image.fromarray(np.full((2, 2), 10 * i + j, np.uint8)).save(
                tmp_path / name / f"{j}.png"
            )
    for split, values in (
        ("train", {0}),
        ("validation", {10, 11}),
        ("test", {20, 21, 22}),
        ("all", {0, 10, 11, 20, 21, 22}),
    ):
        loaded = load_image_set(f"folder:{tmp_path}", split)
        assert set(loaded.images[:, 0, 0, 0].tolist()) == values
        assert loaded.num_classes == 1
