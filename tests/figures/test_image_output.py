import numpy as np
import PIL.Image
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.figures.image_output import claim_images, write_images
from dfm_flax.outputs import Outputs

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 3)) / np.float32(255)


def samples(path):
    with PIL.Image.open(path) as image:
        return np.asarray(image) / np.float32(255)


def test_a_picture_is_a_grid(tmp_path):
    write_images([tmp_path / "grid.png"], IMAGES, columns=4)
    picture = samples(tmp_path / "grid.png")
    assert picture.shape == (3, 4 * 5 + 3 * 2, 3)
    np.testing.assert_allclose(picture[:, 7:12], IMAGES[1], atol=1e-6)


def test_an_npz_has_the_images_as_integers(tmp_path):
    write_images([tmp_path / "a" / "samples.npz"], IMAGES)
    with np.load(tmp_path / "a" / "samples.npz") as arrays:
        assert arrays["images"].dtype == np.uint8
        np.testing.assert_allclose(arrays["images"] / np.float32(255), IMAGES)


def test_a_folder_has_one_file_an_image(tmp_path):
    paths = claim_images(Outputs(tmp_path / "folder"), 4)
    write_images(paths, IMAGES[..., :1])
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == [
        f"0000{i}.png" for i in range(4)
    ]
    np.testing.assert_allclose(samples(tmp_path / "folder" / "00002.png"), IMAGES[2, ..., 0])


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"use a suffix such as \.png"):
        claim_images(Outputs(tmp_path / "samples.txt"), 4)
    assert not list(tmp_path.iterdir())
