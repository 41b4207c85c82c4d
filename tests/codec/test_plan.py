import pytest

from dfm_flax.codec.plan import BITS_PER_WEIGHT, MIN_WIDTH, min_bytes, plan, weight_bits
from dfm_flax.errors import UsageError
from dfm_flax.fourier import num_weights


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("num_bytes", [600, 3_000, 12_000, 100_000])
def test_the_machine_fits_the_file(num_bytes, channels):
    model = plan(num_bytes, channels, 1_000).model.machine
    weights, wider = (
        num_weights(model.depth, width, channels, model.basis, model.max_frequencies)
        for width in (model.width, [width + 1 for width in model.width])
    )
    assert weights * BITS_PER_WEIGHT <= weight_bits(num_bytes) < 8 * num_bytes
    assert wider * BITS_PER_WEIGHT > weight_bits(num_bytes)
    assert list(model.width) == sorted(model.width, reverse=True)


@pytest.mark.parametrize("num_bytes", [0, 50, 150])
def test_too_small_files(num_bytes):
    with pytest.raises(UsageError, match=f"a file of {num_bytes} bytes holds no machine"):
        plan(num_bytes, 3, 1_000)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_smallest_files(channels):
    smallest = min_bytes(channels)
    assert plan(smallest, channels, 1_000).model.machine.width[2] == MIN_WIDTH
    with pytest.raises(UsageError, match="holds no machine"):
        plan(smallest - 2, channels, 1_000)


def test_no_steps():
    with pytest.raises(UsageError, match="--steps 0"):
        plan(1_000, 3, 0)
