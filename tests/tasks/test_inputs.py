import numpy as np
import PIL.Image
import pytest
from ml_collections import ConfigDict

from dfm_flax.data.images import Image
from dfm_flax.errors import UsageError
from dfm_flax.runs import Run
from dfm_flax.tasks.inputs import make_jobs, open_images, stored_images


def settings(*images, resize=0, crop=()):
    return ConfigDict({"data": {"images": images, "resize": resize, "crop": crop}})


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(array).save(path)
    return str(path)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    return save(tmp_path / "photo.png", pixels)


def test_a_resumed_run_sees_the_very_same_pixels(tmp_path, photo):
    """Resizing gives values between the 8-bit levels; what is stored are levels."""
    run, config = Run(tmp_path / "run"), settings(photo, resize=5)
    first = open_images(run, config)
    again = open_images(run, config)
    np.testing.assert_array_equal(first[0].pixels, again[0].pixels)
    levels = first[0].pixels * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


def test_a_run_no_longer_needs_the_files(tmp_path):
    path = tmp_path / "gone.png"
    save(path, np.full((4, 4), 51, np.uint8))
    run, config = Run(tmp_path / "run"), settings(str(path))
    open_images(run, config)
    path.unlink()
    (image,) = open_images(run, config)
    assert image.name == "gone"
    np.testing.assert_allclose(image.pixels, 0.2, atol=1e-6)


def test_16_bits_stay_16_bits(tmp_path):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    run = Run(tmp_path / "run")
    open_images(run, settings(save(tmp_path / "deep.png", values)))
    (image,) = stored_images(run)
    assert image.levels == 65535
    np.testing.assert_array_equal(np.rint(image.pixels[..., 0] * 65535), values)


def test_files_of_the_same_name_are_told_apart(tmp_path):
    array = np.zeros((3, 3, 3), np.uint8)
    paths = [save(tmp_path / folder / "x.png", array) for folder in "abc"]
    images = open_images(Run(tmp_path / "run"), settings(*paths))
    assert [image.name for image in images] == ["x", "x_2", "x_3"]


def test_grey_and_colour_do_not_mix(tmp_path, photo):
    grey = save(tmp_path / "grey.png", np.zeros((3, 3), np.uint8))
    with pytest.raises(UsageError, match="grey and colour"):
        open_images(Run(tmp_path / "run"), settings(photo, grey))
    assert not (tmp_path / "run").exists()


def test_transparency_is_told(tmp_path, caplog):
    path = save(tmp_path / "glass.png", np.zeros((3, 3, 4), np.uint8))
    (image,) = open_images(Run(tmp_path / "run"), settings(path))
    assert "transparency is shown over white" in caplog.text
    assert (image.pixels == 1).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [(settings(), "no image given"), (settings("x.png", crop=(3,)), "give height,width")],
)
def test_settings_without_sense(tmp_path, config, message):
    with pytest.raises(UsageError, match=message):
        open_images(Run(tmp_path / "run"), config)


def test_damaged_stored_images(tmp_path, photo):
    run, config = Run(tmp_path / "run"), settings(photo)
    open_images(run, config)
    file = run.folder / "images.npz"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(UsageError, match=r"images\.npz: cannot be read"):
        open_images(run, config)


@pytest.mark.parametrize("seeds", [(), (1, 1), (-1,)])
def test_seeds_without_sense(seeds):
    with pytest.raises(UsageError, match="seeds"):
        make_jobs([], seeds)


def test_every_image_with_every_seed():
    images = [Image(np.zeros((1, 1, 3), np.float32), 255, name) for name in "ab"]
    names = [job.name for job in make_jobs(images, (0, 7))]
    assert names == ["a_seed0", "a_seed7", "b_seed0", "b_seed7"]
