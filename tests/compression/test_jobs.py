import os
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from ml_collections import ConfigDict

from dfm_flax.compression.jobs import make_jobs, open_images, start_run, stored_images
from dfm_flax.data.images import Image
from dfm_flax.errors import UsageError
from dfm_flax.runs import Run


def settings(*images, resize=0, crop=()):
    return ConfigDict({"data": {"images": images, "resize": resize, "crop": crop}})


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(array).save(path)
    return str(path)


def started(run, config):
    images = open_images(run, config)
    start_run(run, config, images)
    return images


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    return save(tmp_path / "photo.png", pixels)


def test_a_resumed_run_sees_the_very_same_pixels(tmp_path, photo):
    """Resizing gives values between the 8-bit levels; what is stored are levels."""
    run, config = Run(tmp_path / "run"), settings(photo, resize=5)
    first = started(run, config)
    again = open_images(run, config)
    np.testing.assert_array_equal(first[0].pixels, again[0].pixels)
    levels = first[0].pixels * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


def test_a_run_no_longer_needs_the_files(tmp_path):
    path = tmp_path / "gone.png"
    save(path, np.full((4, 4), 51, np.uint8))
    run, config = Run(tmp_path / "run"), settings(str(path))
    started(run, config)
    path.unlink()
    (image,) = open_images(run, config)
    assert image.name == "gone"
    np.testing.assert_allclose(image.pixels, 0.2, atol=1e-6)


def test_16_bits_stay_16_bits(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    run = Run(tmp_path / "run")
    started(run, settings(save(tmp_path / "deep.png", values)))
    (image,) = stored_images(run)
    assert image.levels == 65535
    np.testing.assert_array_equal(np.rint(image.pixels[..., 0] * 65535), values)


def test_files_of_the_same_name_are_told_apart(tmp_path):
    array = np.zeros((3, 3, 3), np.uint8)
    paths = [save(tmp_path / folder / "x.png", array) for folder in "abc"]
    images = open_images(Run(tmp_path / "run"), settings(*paths))
    assert [image.name for image in images] == ["x", "x_2", "x_3"]


# Names that NumPy, zip files or file systems could take for something else, or not at all.
NAMES = ["file", "allow_pickle", "names", "0", "x.npy", "a b", "$5$", "n" * 245, "图"]


def test_any_name_is_kept_with_the_run(tmp_path):
    for i, name in enumerate(NAMES):
        save(tmp_path / "in" / f"{name}.png", np.full((2, 2), i, np.uint8))
    run, config = Run(tmp_path / "run"), settings(str(tmp_path / "in"))
    started(run, config)
    images = stored_images(run)
    assert sorted(image.name for image in images) == sorted(name[:200] for name in NAMES)
    for image in images:
        number = next(i for i, name in enumerate(NAMES) if name[:200] == image.name)
        np.testing.assert_allclose(image.pixels, number / 255)


def test_a_name_that_is_no_text_is_made_one(tmp_path):
    save(tmp_path / "x.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "x.png").rename(tmp_path / os.fsdecode(b"\xff.png"))
    run = Run(tmp_path / "run")
    started(run, settings(str(tmp_path / os.fsdecode(b"\xff.png"))))
    assert [image.name for image in stored_images(run)] == ["?"]


def test_a_folder_gives_its_images_by_name_and_says_what_it_leaves_out(tmp_path, caplog):
    array = np.zeros((3, 3, 3), np.uint8)
    for name in ("b.png", "a.JPG", "c.tiff"):
        save(tmp_path / "in" / name, array)
    for name in (".hidden", "notes.txt", "Thumbs.db"):
        (tmp_path / "in" / name).write_text("")
    (tmp_path / "in" / "deeper").mkdir()
    other = save(tmp_path / "other.png", array)
    images = open_images(Run(tmp_path / "run"), settings(other, str(tmp_path / "in")))
    assert [image.name for image in images] == ["other", "a", "b", "c"]
    assert "2 left out, no images: deeper, notes.txt" in caplog.text


def test_a_damaged_image_in_a_folder_is_refused(tmp_path):
    save(tmp_path / "in" / "a.png", np.zeros((3, 3, 3), np.uint8))
    (tmp_path / "in" / "b.png").write_text("")
    with pytest.raises(UsageError, match=r"b\.png"):
        open_images(Run(tmp_path / "run"), settings(str(tmp_path / "in")))


def test_gray_and_color_do_not_mix(tmp_path, photo):
    gray = save(tmp_path / "gray.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(UsageError, match=r"gray and color .*\(gray: gray\)"):
        open_images(Run(tmp_path / "run"), settings(photo, gray))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": (9, 9)}, r"photo is smaller than the crop: its width of 7 .*resize=9"),
        ({"resize": 8, "crop": (10, 9)}, r"its width of 8 pixels is under 9"),
        ({"resize": 10**5}, r"more than 89,478,485"),
        ({"images": ("gray.png",)}, r"gray and color"),
        ({"free": 4 * 9 * 7 * 3 - 1}, r"the run's 1 image\(s\) takes 756 bytes"),
    ],
)
def test_headers_tell_before_an_image_is_read(tmp_path, photo, monkeypatch, changes, message):
    monkeypatch.setattr("dfm_flax.compression.jobs.read_image", None)
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "gray.png", np.zeros((9, 7), np.uint8))
    if "free" in changes:
        free = SimpleNamespace(available=changes.pop("free"))
        monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    config = settings(photo, *changes.pop("images", ()), **changes)
    with pytest.raises(UsageError, match=message):
        open_images(Run(tmp_path / "run"), config)


def test_nothing_is_written_before_the_start(tmp_path, photo):
    open_images(Run(tmp_path / "run"), settings(photo))
    assert not (tmp_path / "run").exists()


def test_who_starts_a_run_that_another_started_meanwhile_is_refused(tmp_path, photo):
    run = Run(tmp_path / "run")
    images = open_images(run, settings(photo))
    started(run, settings(photo, crop=(2, 2)))
    with pytest.raises(UsageError, match="another config"):
        start_run(run, settings(photo), images)
    assert stored_images(run)[0].pixels.shape == (2, 2, 3)


def test_transparency_is_told(tmp_path, caplog):
    path = save(tmp_path / "glass.png", np.zeros((3, 3, 4), np.uint8))
    (image,) = open_images(Run(tmp_path / "run"), settings(path))
    assert "transparency is shown over white" in caplog.text
    assert (image.pixels == 1).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (settings(), "no image given"),
        (settings("x.png", crop=(3,)), "give height,width"),
        (settings("empty"), "no images in this folder"),
    ],
)
def test_settings_without_sense(tmp_path, monkeypatch, config, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        open_images(Run(tmp_path / "run"), config)


def cut(file):
    file.write_bytes(file.read_bytes()[:-30])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


DAMAGE = [
    cut,
    flip,
    lambda file: file.unlink(),
    lambda file: file.write_text("x"),
    lambda file: np.save(file.open("wb"), np.zeros(3)),
    lambda file: np.savez(file),
    lambda file: np.savez(file, **{"names": np.array(["a"]), "0": np.zeros((3, 3, 3))}),
    lambda file: np.savez(file, **{"names": np.array(["a"]), "0": np.zeros((3, 3), np.uint8)}),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_stored_images(tmp_path, photo, damage):
    run, config = Run(tmp_path / "run"), settings(photo)
    started(run, config)
    damage(run.folder / "images.npz")
    with pytest.raises(UsageError, match=r"images\.npz: cannot be read") as caught:
        open_images(run, config)
    assert "\n" not in str(caught.value)


def test_every_image_with_every_seed():
    images = [Image(np.zeros((1, 1, 3), np.float32), 255, name) for name in "ab"]
    names = [job.name for job in make_jobs(images, 6, 2)]
    assert names == ["a_seed6", "a_seed7", "b_seed6", "b_seed7"]
