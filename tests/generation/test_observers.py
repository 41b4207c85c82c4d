import dataclasses

import jax
import numpy as np
import pytest

from dfm_flax.config import load_config, override
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.errors import UsageError
from dfm_flax.generation.drawing import draw, encode
from dfm_flax.generation.generator import ImageShape, initial_params, make_generator
from dfm_flax.generation.observer import OBSERVERS, GeneratorSnapshot
from dfm_flax.generation.prior import find_prior

IMAGES = load_image_set("digits").images[:100]
SHAPE = ImageShape(8, 8, 1)


def config(*changes):
    made = load_config("digits:autoencoder")
    override(made, ["model.latent_size=3", "model.hidden=8", "model.encoder_hidden=8", *changes])
    return made


def snapshot(made):
    model = make_generator(made, SHAPE)
    params = jax.jit(lambda rng: initial_params(model, rng, 3, SHAPE))(jax.random.PRNGKey(0))
    table = None
    if made.model.latents == "table":
        table = np.random.default_rng(0).normal(size=(len(IMAGES), 3)).astype(np.float32)
    return GeneratorSnapshot(model, params, IMAGES, table)


def test_reconstructions_are_pairs():
    looked_at = snapshot(config())
    (figure,) = OBSERVERS.get("reconstructions")(config())(looked_at).figures.values()
    latents = encode(looked_at.model, looked_at.params, IMAGES)
    expected = draw(looked_at.model, looked_at.params, latents[:1], 8, 8)[0]
    np.testing.assert_allclose(figure[:8, :8], IMAGES[0] / 255, atol=1e-6)
    np.testing.assert_allclose(figure[:8, 8:16], expected, atol=1e-5)


def test_samples_are_those_of_each_prior_that_takes_no_training():
    made = config("model.latents=table")
    looked_at = snapshot(made)
    figures = OBSERVERS.get("samples")(made)(looked_at).figures
    assert list(figures) == ["samples/normal", "samples/gaussian", "samples/gmm"]
    for name, figure in figures.items():
        assert figure.shape == (8 * 10 - 2, 8 * 10 - 2, 1)  # 64 samples with gaps of 2
        prior = find_prior(name.partition("/")[2]).fit(looked_at.table)
        first = draw(looked_at.model, looked_at.params, prior.sample(64, seed=0), 8, 8)[0]
        np.testing.assert_allclose(figure[:8, :8], first, atol=1e-5)


def test_of_one_image_there_are_samples_of_its_mean():
    made = config()
    looked_at = dataclasses.replace(snapshot(made), images=IMAGES[:1])
    assert list(OBSERVERS.get("samples")(made)(looked_at).figures) == ["samples/normal"]


def test_held_out_images_are_others():
    made = config()
    looked_at = snapshot(made)
    seen = OBSERVERS.get("held_out")(made)(looked_at)
    others = load_image_set("digits", "test").images[:1000] / np.float32(255)
    latents = encode(looked_at.model, looked_at.params, others)
    drawn = draw(looked_at.model, looked_at.params, latents, 8, 8)
    np.testing.assert_allclose(
        seen.metrics["held_out/mse"], np.mean((drawn - others) ** 2), rtol=1e-4
    )
    with pytest.raises(UsageError, match="folder"):
        OBSERVERS.get("held_out")(config("data.name=folder:/nowhere"))


@pytest.mark.slow
def test_latents_of_held_out_images_are_searched_for_where_a_table_has_the_others():
    made = config("model.latents=table", "loss.latent_penalty=0")
    looked_at = snapshot(made)
    seen = OBSERVERS.get("held_out")(made)(looked_at)
    others = load_image_set("digits", "test").images[:64] / np.float32(255)
    mean = looked_at.table.mean(axis=0)
    unsearched = draw(looked_at.model, looked_at.params, np.tile(mean, (64, 1)), 8, 8)
    assert seen.metrics["held_out/mse"] < 0.99 * np.mean((unsearched - others) ** 2)
