import jax
import numpy as np
import pytest

from dfm_flax.fourier import FourierMachine
from dfm_flax.generation import drawing
from dfm_flax.generation.generator import Generator, ImageShape, initial_params
from dfm_flax.models.decoders import Decoder
from dfm_flax.models.mlp import Encoder

MODEL = Generator(
    Decoder(FourierMachine(2, 3, 1, variances=0.3), (8,), variance=1.0, initialization="centered"),
    Encoder((8,), 3),
)
PARAMS = jax.jit(lambda rng: initial_params(MODEL, rng, 3, ImageShape(4, 5, 1)))(
    jax.random.PRNGKey(0)
)
LATENTS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def test_images_are_what_the_model_decodes(monkeypatch):
    expected = MODEL.apply({"params": PARAMS}, LATENTS, np.arange(20), 4, 5, method="decode")
    expected = (np.asarray(expected).reshape(7, 4, 5, 1) + 1) / 2
    np.testing.assert_allclose(drawing.draw(MODEL, PARAMS, LATENTS, 4, 5), expected, atol=1e-5)
    # In tiles and batches that do not fit, it is the same.
    monkeypatch.setattr(drawing, "_TILE", 6)
    monkeypatch.setattr(drawing, "_PIXELS", 18)
    np.testing.assert_allclose(drawing.draw(MODEL, PARAMS, LATENTS, 4, 5), expected, atol=1e-5)


def test_images_and_latents_are_those_of_float32_on_every_device(precisions):
    colors, encode = drawing._colors.__wrapped__, drawing._encode.__wrapped__
    assert precisions(lambda z: colors(MODEL, PARAMS, z, 6, 0, 4, 5), LATENTS) == {"HIGHEST"}
    images = np.zeros((7, 4, 5, 1), np.uint8)
    assert precisions(lambda images: encode(MODEL, PARAMS, images, 255), images) == {"HIGHEST"}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_latents_are_what_the_model_encodes(monkeypatch, dtype):
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 5, 1), np.uint8)
    expected = MODEL.apply({"params": PARAMS}, images / 127.5 - 1, method="encode")
    given = images if dtype == np.uint8 else images / np.float32(255)
    monkeypatch.setattr(drawing, "_ENCODED", 3)
    np.testing.assert_allclose(drawing.encode(MODEL, PARAMS, given), expected, atol=1e-4)
