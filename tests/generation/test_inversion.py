import jax
import numpy as np

from dfm_flax.generation.drawing import draw
from dfm_flax.generation.generator import Generator, ImageShape, initial_params
from dfm_flax.generation.inversion import _invert, invert
from dfm_flax.models.decoders import PixelDecoder

MODEL = Generator(PixelDecoder(4, 4, 1, (16,)))
PARAMS = jax.jit(lambda rng: initial_params(MODEL, rng, 3, ImageShape(4, 4, 1)))(
    jax.random.PRNGKey(0)
)
LATENTS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
IMAGES = draw(MODEL, PARAMS, LATENTS, 4, 4)


def test_images_of_the_model_are_found_again():
    found = invert(MODEL, PARAMS, IMAGES[:6], LATENTS, penalty=0.0)
    np.testing.assert_allclose(draw(MODEL, PARAMS, found, 4, 4), IMAGES[:6], atol=0.01)


def test_each_image_is_searched_alone():
    together = invert(MODEL, PARAMS, IMAGES[:6], LATENTS, penalty=0.1)
    alone = invert(MODEL, PARAMS, IMAGES[4:5], LATENTS, penalty=0.1)
    np.testing.assert_allclose(together[4:5], alone, atol=1e-3)


def test_a_penalty_keeps_latents_small():
    free = invert(MODEL, PARAMS, IMAGES[:6], LATENTS, penalty=0.0)
    held = invert(MODEL, PARAMS, IMAGES[:6], LATENTS, penalty=10.0)
    assert np.square(held).sum() < 0.1 * np.square(free).sum()


def test_latents_are_those_of_float32_on_every_device(precisions):
    found = precisions(lambda z: _invert(MODEL, PARAMS, IMAGES[:2], z, 0.1, 0.1), LATENTS[:2])
    assert found == {"HIGHEST"}
