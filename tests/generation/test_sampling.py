import json
import shutil

import numpy as np
import pytest

from dfm_flax.data.image_sets import load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.generation import sampling
from dfm_flax.generation.prior import ClassPrior
from dfm_flax.generation.priors.normal import Normal

pytestmark = pytest.mark.slow  # needs trained generators


@pytest.fixture
def generator(runs):
    return sampling.load_generator(runs("dfm"))


@pytest.mark.parametrize("prior", ["normal", "gaussian", "gmm"])
def test_samples_of_each_prior(generator, prior):
    images = generator.sample(5, prior, seed=1)
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    np.testing.assert_array_equal(images, generator.sample(5, prior, seed=1))
    assert not np.array_equal(images, generator.sample(5, prior, seed=2))
    # Kept with the run: used instead of fitted again.
    assert (generator.run.folder / "priors" / f"{prior}.npz").is_file()


MINE = """
import numpy as np
from dfm_flax.generation.priors.normal import Normal

class Twice(Normal):
    fits = 0
    @classmethod
    def fit(cls, latents, seed=0):
        Twice.fits += 1
        return super().fit(2 * latents, seed)

class Flat(Normal):
    def sample(self, num, seed):
        return np.zeros(num)
"""


def test_the_prior_of_a_class_is_fitted_to_its_latents(generator):
    """digits has the classes 0 to 9; a prior that cannot tell them apart has one fit a class."""
    labels = load_image_set("digits").labels
    prior = generator.prior("gaussian", 3)
    expected = generator.latents[labels == 3]
    np.testing.assert_allclose(prior.means[0], expected.mean(axis=0), atol=1e-5)
    assert (generator.run.folder / "priors" / "gaussian_class3.npz").is_file()
    assert generator.sample(2, "gaussian", label=3).shape == (2, 8, 8, 1)
    assert not np.allclose(generator.prior("gaussian").means, prior.means)
    with pytest.raises(UsageError, match="class 10: digits has classes 0 to 9"):
        generator.sample(1, "gaussian", label=10)
    with pytest.raises(UsageError, match="'standard_normal' is the same for all classes"):
        generator.sample(1, "standard_normal", label=3)


def test_a_prior_that_learns_classes_gets_them(generator, monkeypatch):
    seen = []

    class Fitted(Normal):
        def of_class(self, label):
            return Normal(self.weights, self.means + label, self.factors)

    class Learned(ClassPrior):
        @classmethod
        def fit(cls, latents, seed=0, labels=None):
            seen.append(labels)
            return Fitted.fit(latents)

    monkeypatch.setattr(sampling, "find_prior", lambda name: Learned)
    monkeypatch.setattr(sampling, "load_prior", lambda file, name, step: None)
    monkeypatch.setattr(sampling, "save_prior", lambda file, prior, name, step: None)
    of_class = generator.prior("learned", 4)
    np.testing.assert_allclose(of_class.means, generator.prior("learned").means + 4)
    np.testing.assert_array_equal(seen[0], load_image_set("digits").labels)


def test_a_prior_by_import_path(generator, tmp_path, monkeypatch):
    (tmp_path / "priors_of_a_user.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        prior = generator.prior("priors_of_a_user:Twice")
        np.testing.assert_allclose(prior.means, 2 * generator.prior("normal").means)
    assert type(prior).fits == 1
    assert (generator.run.folder / "priors" / "priors_of_a_user.Twice.npz").is_file()
    assert generator.sample(3, "priors_of_a_user:Twice").shape == (3, 8, 8, 1)
    with pytest.raises(
        UsageError, match=r"'priors_of_a_user:Flat': samples of shape \(3,\), not \(3, 4\)"
    ):
        generator.sample(3, "priors_of_a_user:Flat")


def test_a_run_that_cannot_be_written(runs, tmp_path, caplog):
    shutil.copytree(runs("dfm"), tmp_path / "run", ignore=shutil.ignore_patterns("priors"))
    # Nobody, root included, can make a folder there.
    (tmp_path / "run" / "priors").symlink_to("/proc/self/no_folder")
    generator = sampling.load_generator(tmp_path / "run")
    with caplog.at_level("WARNING"):
        images = generator.sample(3, "gaussian")
    np.testing.assert_array_equal(
        images, sampling.load_generator(runs("dfm")).sample(3, "gaussian")
    )
    (line,) = [record.message for record in caplog.records if "dfm_flax" in record.name]
    assert line.startswith("prior gaussian is not kept")
    assert "\n" not in line


def test_more_samples_than_fit_a_batch_and_larger_ones(generator):
    many = generator.sample(70, size=(90, 80))
    assert many.shape == (70, 90, 80, 1)
    few = generator.sample(70, size=(30, 80))
    # Rows 1, 4, .. of 90 lie where the rows of 30 do.
    np.testing.assert_allclose(many[:, 1::3], few, atol=1e-4)


def test_samples_spread_like_reconstructions(generator):
    """A prior that is fitted to the latents gives images with the pixels' mean and deviation."""
    samples = generator.sample(1000, "gaussian")
    images = generator.reconstruct_training(np.arange(1000))
    assert abs(samples.mean(0) - images.mean(0)).max() < 0.1
    assert samples.std(0).mean() == pytest.approx(images.std(0).mean(), rel=0.3)


def test_a_variational_autoencoder_has_its_own_normal_prior(runs):
    generator = sampling.load_generator(runs("vae"))
    prior = generator.prior("normal")
    np.testing.assert_array_equal(prior.means, 0)
    np.testing.assert_array_equal(prior.factors[0], np.eye(4))


def test_an_interpolation_starts_and_ends_at_its_images(generator):
    way = generator.interpolate(3, 7, 5)
    ends = generator.reconstruct_training([3, 7])
    np.testing.assert_allclose(way[[0, 4]], ends, atol=1e-4)
    assert way.shape == (5, 8, 8, 1)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["dfm", "table"])
def test_reconstructions_are_near_their_images(runs, variant):
    """Nearer than the mean image is; the table's, for which there is no encoder, as well."""
    longer = "training.num_steps=400", "optimizer.learning_rate=1e-2"
    generator = sampling.load_generator(runs(variant, *longer))
    images = generator.images[:20] / np.float32(255)
    drawn = generator.reconstruct(images)
    mean = images.mean(axis=0)
    assert np.mean((drawn - images) ** 2) < 0.95 * np.mean((mean - images) ** 2)
    large = generator.reconstruct(images[:2], size=(16, 24))
    assert large.shape == (2, 16, 24, 1)


def test_only_weights_are_read_for_samples(runs, tmp_path, monkeypatch):
    read = []
    restore = sampling.restore_parts

    def watched(folder, template):
        read.extend(template)
        return restore(folder, template)

    monkeypatch.setattr(sampling, "restore_parts", watched)
    generator = sampling.load_generator(runs("table"))
    generator.prior("normal")  # reads the latents, if no test before has
    read.clear()
    sampling.load_generator(runs("table")).sample(2, "normal")
    assert read == ["ema"]


def test_what_does_not_exist_is_refused(generator):
    with pytest.raises(UsageError, match="image 1797: the run has images 0 to 1796"):
        generator.interpolate(0, 1797, 5)
    with pytest.raises(UsageError, match="image -1"):
        generator.interpolate(-1, 0, 5)
    with pytest.raises(UsageError, match="two ends"):
        generator.interpolate(0, 1, 1)
    with pytest.raises(
        UsageError,
        match="'flows' is not one of flow, flow_matching, gaussian, gmm",
    ):
        generator.sample(1, "flows")
    with pytest.raises(UsageError, match="trained on images of 8x8"):
        generator.reconstruct(np.zeros((1, 28, 28, 1)))


def test_a_grid_of_latents_draws_at_any_size(runs):
    generator = sampling.load_generator(runs("grids", "model.cells=2"))
    images = generator.sample(3, "gmm", seed=1, size=(24, 24))
    small = generator.sample(3, "gmm", seed=1)
    np.testing.assert_allclose(images[:, 1::3, 1::3], small, atol=1e-4)
    assert generator.interpolate(0, 5, num=3, size=(11, 16)).shape == (3, 11, 16, 1)


def test_pixels_cannot_be_enlarged(runs):
    with pytest.raises(UsageError, match="8x8 and no other size"):
        sampling.load_generator(runs("autoencoder")).sample(1, "normal", size=(16, 16))


def test_a_checkpoint_of_another_model_is_refused(runs, tmp_path):
    shutil.copytree(runs("dfm"), tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["config"]["model"]["hidden"] = [32]
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
            '{"run_version": 2, "config": {"task": "generation"}}',
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
        generator.sample(64, "normal", size=(900_000, 900_000))


def test_a_run_of_compression_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"run_version": 2, "config": {"task": "compression"}}')
    with pytest.raises(UsageError, match="a run of task 'compression', not of a generator"):
        sampling.load_generator(tmp_path)
