import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.codec.budget import QuantizedMachine
from dfm_flax.codec.rounding import Rounding, decoded, file_size
from dfm_flax.data.images import Image
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.rendering import render

MACHINE = FourierMachine(
    depth=3, width=8, basis="additive", max_frequencies=(4, 1, 1), normalize=True, residual=False,
    variances=(0.3, 0.06, 0.05), extent=0.7,
)  # fmt: skip


@pytest.fixture(scope="module")
def rounding():
    """The machine's own picture is the image: what rounding loses is all that is lost."""
    params = QuantizedMachine(MACHINE).init(jax.random.PRNGKey(0), jnp.zeros((1, 2)))["params"]
    picture = render(MACHINE, params["machine"], 24, 32)
    return Rounding(Image(picture, 255, "own"), MACHINE, params, 2_000.0)


def test_within_a_size(rounding):
    for most in (150, 300, 390):
        # Words have four bytes, and the next finer steps may take some more words.
        assert 0.98 * most - 8 <= file_size(rounding.within(most)) <= most
    assert rounding.within(20) is None


def test_reaching_a_quality(rounding):
    for quality in (20, 30, 40):
        coded = rounding.reaching(quality)
        assert quality <= rounding.psnr(coded) < quality + 1
    assert rounding.reaching(200) is None


def test_finer_steps_lose_less_and_take_more(rounding):
    qualities = [rounding.psnr(rounding.at(finer)) for finer in (-16, 0, 16)]
    sizes = [file_size(rounding.at(finer)) for finer in (-16, 0, 16)]
    assert qualities == sorted(qualities)
    assert sizes == sorted(sizes)


def test_what_is_decoded_has_the_levels_of_the_image(rounding):
    values = decoded(rounding.at(0)) * 255
    np.testing.assert_allclose(values, np.rint(values), atol=1e-4)
