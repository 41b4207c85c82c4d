import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.codec.budget import QuantizedMachine
from dfm_flax.codec.container import file_size, from_bytes, to_bytes
from dfm_flax.codec.entropy import LARGEST
from dfm_flax.codec.plan import plan, weight_bits
from dfm_flax.codec.rounding import Rounding
from dfm_flax.data.images import Image
from dfm_flax.errors import DfmError
from dfm_flax.fourier import FourierMachine
from dfm_flax.models.machine import make_machine
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
    values = rounding.at(0).decoded() * 255
    np.testing.assert_allclose(values, np.rint(values), atol=1e-4)


def planned(num_bytes, picture, change=lambda layer: layer):
    """The roundings of a machine planned for so many bytes, with its weights as they start."""
    machine = make_machine(plan(num_bytes, 3, 5).model.machine, 3)
    params = QuantizedMachine(machine).init(jax.random.PRNGKey(0), jnp.zeros((1, 2)))["params"]
    params = params | {"machine": jax.tree.map(change, params["machine"])}
    return Rounding(Image(picture, 255, "own"), machine, params, weight_bits(num_bytes))


@pytest.mark.parametrize("num_bytes", [254, 5_000, 65_536, 400_000])
def test_machines_of_every_size_fit_their_files(num_bytes):
    coded = planned(num_bytes, np.zeros((512, 512, 3), np.float32)).within(num_bytes)
    assert 0.97 * num_bytes - 8 < len(to_bytes(coded)) <= num_bytes


@pytest.mark.parametrize("size", [0.0, 1e-9])
def test_files_of_nearly_nothing_can_be_written(size):
    """Of more weights than a file as small as their integers could have."""
    rounding = planned(65_536, np.full((8, 8, 3), 0.5, np.float32), lambda layer: layer * size)
    for coded in (rounding.within(65_536), rounding.reaching(40.0)):
        assert len(to_bytes(coded)) <= 65_536
        assert rounding.psnr(from_bytes(to_bytes(coded))) >= 40


def test_steps_are_never_too_fine_for_a_weight():
    """One weight far above the others of its group; then one that no file can hold."""
    picture = np.zeros((8, 8, 3), np.float32)

    def spike(height):
        return lambda layer: layer.at[-1, -1].set(height)

    rounding = planned(1_000, picture, spike(400.0))
    for coded in (rounding.at(24.0), rounding.within(1_000), rounding.reaching(3.0)):
        integers = np.concatenate([layer.ravel() for layer in coded.integers])
        assert np.abs(integers).max() <= LARGEST
        to_bytes(coded)
    assert np.abs(rounding.at(24.0).integers[0]).max() > LARGEST / 1.1
    with pytest.raises(DfmError, match=r"image own: training diverged, to a weight of 40000\.0"):
        planned(1_000, picture, spike(4e4))
    with pytest.raises(DfmError, match="training diverged, to a weight of nan"):
        planned(1_000, picture, spike(np.nan))
