import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.data.positions import pixel_positions
from dfm_flax.errors import UsageError
from dfm_flax.fourier import FourierMachine, initial_deviations, split_vector
from dfm_flax.models.decoders import Decoder, PixelDecoder

MACHINE = FourierMachine(
    3, 6, 3, "additive", (4, 1, 1), (0.35, 0.06, 0.05), normalize=True, residual=False
)
LATENTS = jax.random.normal(jax.random.PRNGKey(0), (5, 8))


def decoded(decoder, height, width):
    index = jnp.arange(height * width)
    variables = decoder.init(jax.random.PRNGKey(1), LATENTS, index, height, width)
    return variables, decoder.apply(variables, LATENTS, index, height, width)


def test_images_are_drawn_by_the_machines_of_their_coefficients():
    decoder = Decoder(MACHINE, (16,))
    variables, colors = decoded(decoder, 4, 6)
    coefficients = decoder.apply(variables, LATENTS, method="coefficients")
    for vector, image in zip(coefficients, colors, strict=True):
        params = {"params": split_vector(MACHINE, vector)}
        expected = MACHINE.apply(params, pixel_positions(np.arange(24), 4, 6))
        np.testing.assert_allclose(image, expected, atol=1e-5)


def test_an_image_at_another_size_is_the_same_function():
    """Every third pixel of a grid three times as fine lies where a pixel of the coarse one does."""
    decoder = Decoder(MACHINE, (16,), variance=0.1, initialization="centered")
    variables, coarse = decoded(decoder, 5, 5)
    fine = decoder.apply(variables, LATENTS, jnp.arange(225), 15, 15).reshape(5, 15, 15, 3)
    np.testing.assert_allclose(fine[:, 1::3, 1::3], coarse.reshape(5, 5, 5, 3), atol=1e-5)


def test_a_gaussian_start_is_gaussian_with_biases_at_zero():
    params = decoded(Decoder(MACHINE, (300,), variance=2e-2), 2, 2)[0]["params"]["mlp"]
    for layer in params.values():
        assert layer["kernel"].var() == pytest.approx(2e-2, rel=0.1)
        assert not layer["bias"].any()


def test_a_centered_start_is_around_a_machine_as_drawn():
    decoder = Decoder(MACHINE, (400,), variance=0.09, initialization="centered")
    latents = jax.random.normal(jax.random.PRNGKey(2), (500, 50))
    variables = decoder.init(jax.random.PRNGKey(1), latents, jnp.arange(1), 1, 1)
    outputs = decoder.apply(variables, latents, method="coefficients") / initial_deviations(MACHINE)
    assert outputs.mean(axis=0).std() == pytest.approx(1, rel=0.15)
    assert outputs.std(axis=0).mean() == pytest.approx(0.3, rel=0.3)


def test_pixels_are_the_sigmoid_of_the_logits():
    decoder = PixelDecoder(3, 4, 3, (16,))
    variables, colors = decoded(decoder, 3, 4)
    logits = decoder.apply(variables, LATENTS, method="logits")
    np.testing.assert_allclose((colors + 1) / 2, 1 / (1 + np.exp(-logits)), atol=1e-5)
    some = decoder.apply(variables, LATENTS, jnp.array([7, 2]), 3, 4)
    np.testing.assert_array_equal(some, colors[:, [7, 2]])


def test_pixels_have_one_size():
    decoder = PixelDecoder(3, 4, 3, (16,))
    variables, _ = decoded(decoder, 3, 4)
    with pytest.raises(UsageError, match="images are 4x3 and no other size"):
        decoder.apply(variables, LATENTS, jnp.arange(4), 6, 8)
