import json
import shutil

import numpy as np
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.generation import sampling

pytestmark = pytest.mark.slow  # needs trained generators


@pytest.fixture
def generator(runs):
    return sampling.load_generator(runs("dfm"))


@pytest.mark.parametrize("prior", ["normal", "gaussian", "gmm"])
def test_samples_of_each_prior(generator, prior):
    images = sampling.sample(generator, 5, prior, seed=1)
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    np.testing.assert_array_equal(images, sampling.sample(generator, 5, prior, seed=1))
    assert not np.array_equal(images, sampling.sample(generator, 5, prior, seed=2))
    # Kept with the run: used instead of fitted again.
    assert (generator.run.folder / "priors" / f"{prior}.npz").is_file()


def test_more_samples_than_fit_a_batch_and_larger_ones(generator):
    many = sampling.sample(generator, 70, size=(90, 80))
    assert many.shape == (70, 90, 80, 1)
    few = sampling.sample(generator, 70, size=(30, 80))
    # Rows 1, 4, .. of 90 lie where the rows of 30 do.
    np.testing.assert_allclose(many[:, 1::3], few, atol=1e-4)


def test_samples_spread_like_reconstructions(generator):
    """A prior that is fitted to the latents gives images with the pixels' mean and deviation."""
    samples = sampling.sample(generator, 1000, "gaussian")
    images = sampling.reconstruct_training(generator, np.arange(1000))
    assert abs(samples.mean(0) - images.mean(0)).max() < 0.1
    assert samples.std(0).mean() == pytest.approx(images.std(0).mean(), rel=0.3)


def test_a_variational_autoencoder_has_its_own_normal_prior(runs):
    generator = sampling.load_generator(runs("vae"))
    prior = sampling.fitted_prior(generator, "normal")
    np.testing.assert_array_equal(prior.means, 0)
    np.testing.assert_array_equal(prior.factors[0], np.eye(4))


def test_an_interpolation_starts_and_ends_at_its_images(generator):
    way = sampling.interpolate(generator, 3, 7, 5)
    ends = sampling.reconstruct_training(generator, [3, 7])
    np.testing.assert_allclose(way[[0, 4]], ends, atol=1e-4)
    assert way.shape == (5, 8, 8, 1)


def test_great_circle():
    first, second = np.array([2.0, 0, 0]), np.array([0, 4.0, 0])
    way = sampling.great_circle(first, second, 3)
    np.testing.assert_allclose(way[1], 3 * np.array([0.5**0.5, 0.5**0.5, 0]))
    for end in (first, -first, 0 * first):  # no circle, or any: straight
        way = sampling.great_circle(first, end, 3)
        np.testing.assert_allclose(way[1], (first + end) / 2, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["dfm", "table"])
def test_reconstructions_are_near_their_images(runs, variant):
    """Nearer than the mean image is; the table's, for which there is no encoder, as well."""
    longer = "training.num_steps=400", "optimizer.learning_rate=1e-2"
    generator = sampling.load_generator(runs(variant, *longer))
    images = generator.images[:20] / np.float32(255)
    drawn = sampling.reconstruct(generator, images)
    mean = images.mean(axis=0)
    assert np.mean((drawn - images) ** 2) < 0.95 * np.mean((mean - images) ** 2)
    large = sampling.reconstruct(generator, images[:2], size=(16, 24))
    assert large.shape == (2, 16, 24, 1)


def test_only_weights_are_read_for_samples(runs, tmp_path, monkeypatch):
    read = []
    restore = sampling.restore_parts

    def watched(folder, template):
        read.extend(template)
        return restore(folder, template)

    monkeypatch.setattr(sampling, "restore_parts", watched)
    generator = sampling.load_generator(runs("table"))
    sampling.fitted_prior(generator, "normal")  # reads the latents, if no test before has
    read.clear()
    sampling.sample(sampling.load_generator(runs("table")), 2, "normal")
    assert read == ["ema"]


def test_what_does_not_exist_is_refused(generator):
    with pytest.raises(UsageError, match="image 1797: the run has images 0 to 1796"):
        sampling.interpolate(generator, 0, 1797, 5)
    with pytest.raises(UsageError, match="image -1"):
        sampling.interpolate(generator, -1, 0, 5)
    with pytest.raises(UsageError, match="two ends"):
        sampling.interpolate(generator, 0, 1, 1)
    with pytest.raises(UsageError, match="not one of normal, gaussian, gmm"):
        sampling.sample(generator, 1, "flow")
    with pytest.raises(UsageError, match="trained on images of 8x8"):
        sampling.reconstruct(generator, np.zeros((1, 28, 28, 1)))


def test_pixels_cannot_be_enlarged(runs):
    with pytest.raises(UsageError, match="8x8 and no other size"):
        sampling.sample(sampling.load_generator(runs("autoencoder")), 1, "normal", size=(16, 16))


def test_a_checkpoint_of_another_model_is_refused(runs, tmp_path):
    shutil.copytree(runs("dfm"), tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["model"]["hidden"] = [32]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="a checkpoint of another model"):
        sampling.load_generator(tmp_path / "run")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("data.json", '{"size": 3}', "data.json: does not say the shape of the images; restore it"),
        ("data.json", "[1797, 8, 8]", "data.json: does not say the shape"),
        ("data.json", "", "data.json: cannot be read"),
        (
            "config.json",
            '{"task": "generate"}',
            r"config.json: damaged, or of another version: .*model",
        ),
        ("config.json", "{", "config.json: cannot be read"),
    ],
)
def test_a_run_with_damaged_facts_is_refused(runs, tmp_path, file, content, message):
    for name in ("config.json", "data.json"):
        shutil.copy(runs("dfm") / name, tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(UsageError, match=message):
        sampling.load_generator(tmp_path)


def test_images_larger_than_memory_are_refused(generator):
    with pytest.raises(UsageError, match=r"drawing 64 images of 900000x900000 pixels takes 414,7"):
        sampling.sample(generator, 64, "normal", size=(900_000, 900_000))


def test_a_run_of_compression_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"task": "compress"}')
    with pytest.raises(UsageError, match="a run of task 'compress', not of a generator"):
        sampling.load_generator(tmp_path)
