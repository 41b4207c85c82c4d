"""Sources of images: what they give is what is loaded whole, image by image."""

import numpy as np
import PIL.Image
import pytest

from dfm_flax.data.image_sets import load_image_set, num_bytes, open_image_source
from dfm_flax.data.image_source import evenly_spread
from dfm_flax.errors import UsageError


def assert_same(name, **place):
    whole, source = load_image_set(name, **place), open_image_source(name, **place)
    assert (len(source), *source.shape) == whole.images.shape
    assert source.num_classes == whole.num_classes
    assert source.num_bytes == whole.images.nbytes
    index = np.arange(len(source))[::-2]
    some = source.images(index)
    np.testing.assert_array_equal(some.images, whole.images[index])
    np.testing.assert_array_equal(some.labels, whole.labels[index])
    return source


def test_digits():
    source = assert_same("digits", split="test")
    assert source.fingerprint() != open_image_source("digits").fingerprint()
    assert num_bytes("digits") is None


@pytest.mark.parametrize(("split", "size"), [("all", 0), ("train", 24), ("test", 0)])
def test_folders(class_folder, split, size):
    """With one gray image, which is first."""
    PIL.Image.new("L", (32, 32), 7).save(class_folder / "train" / "class a" / "0.png")
    source = assert_same(f"folder:{class_folder}", split=split, size=size)
    if split != "train":  # of which the first image is gray
        assert num_bytes(f"folder:{class_folder}", split, size=size) in (
            source.num_bytes,
            source.num_bytes // 3,
        )


def test_what_a_folder_cannot_give(class_folder):
    name = f"folder:{class_folder}"
    source = open_image_source(name)
    before = source.fingerprint()
    last = class_folder / "train" / "class j" / "1.png"
    PIL.Image.new("RGB", (31, 32)).save(last)
    with pytest.raises(UsageError, match=r"class j/1.png has 32 x 31 pixels, others 32 x 32"):
        source[len(source) - 1]
    assert open_image_source(name).fingerprint() != before
    last.write_bytes(last.read_bytes()[:40])
    with pytest.raises(UsageError, match=r"class j/1\.png"):
        source[len(source) - 1]
    last.unlink()
    with pytest.raises(UsageError, match=r"class j/1.png: No such file"):
        source[len(source) - 1]
    with pytest.raises(UsageError, match=r"class j/1.png: No such file"):
        source.fingerprint()


def test_a_color_that_no_header_told_of(tmp_path):
    for i in range(201):
        PIL.Image.new("L", (2, 2)).save(tmp_path / f"{i:03}.png")
    PIL.Image.new("RGB", (2, 2)).save(tmp_path / "001.png")
    source = open_image_source(f"folder:{tmp_path}")
    assert source.shape == (2, 2, 1)
    with pytest.raises(UsageError, match=r"001.png has colors, others are gray"):
        source[1]


def test_names_in_any_letters(tmp_path):
    """Paths are kept as bytes."""
    names = sorted([*(f"{i}.png" for i in range(20)), "straße.png", "空.png"])
    for i, name in enumerate(names):
        PIL.Image.new("L", (1, 1), i).save(tmp_path / name)
    source = open_image_source(f"folder:{tmp_path}")
    assert [int(source[i][0][0, 0, 0]) for i in range(len(names))] == list(range(len(names)))


@pytest.mark.parametrize(("num", "most"), [(10, 20), (10, 10), (1000, 7), (1, 1)])
def test_evenly_spread(num, most):
    index = evenly_spread(num, most)
    assert len(index) == min(num, most)
    assert index[0] == 0
    assert index[-1] < num
    steps = np.diff(index)
    assert not len(steps) or steps.max() - steps.min() <= 1
