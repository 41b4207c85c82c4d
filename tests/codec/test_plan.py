import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dfm_flax.codec import container, machine_body
from dfm_flax.codec.entropy import LARGEST
from dfm_flax.codec.groups import num_groups
from dfm_flax.codec.plan import (
    BITS_PER_WEIGHT,
    MIN_WIDTH,
    max_bytes,
    min_bytes,
    plan,
    weight_bits,
)
from dfm_flax.codec.quantized import QuantizedImage
from dfm_flax.errors import UsageError
from dfm_flax.fourier import num_weights, vector_size
from dfm_flax.models.machine import make_machine


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


@pytest.mark.parametrize("num_bytes", [0, 50, 150, 10**7, 10**19, float("nan")])
def test_files_of_no_machine(num_bytes):
    with pytest.raises(UsageError, match=r"no machine is planned .*: files have \d+ to 6,\d+,\d+"):
        plan(num_bytes, 3, 1_000)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_smallest_files(channels):
    smallest = min_bytes(channels)
    assert plan(smallest, channels, 1_000).model.machine.width[2] == MIN_WIDTH
    with pytest.raises(UsageError, match="no machine"):
        plan(smallest - 2, channels, 1_000)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_largest_files(channels):
    largest = max_bytes(channels)
    assert plan(largest, channels, 1_000).model.machine.width[0] == machine_body.MAX_HIDDEN
    with pytest.raises(UsageError, match="no machine"):
        plan(largest + 1, channels, 1_000)


def laplace(machine, rng, mean):
    """Random integers in place of a machine's weights, of a mean magnitude; a few are large."""
    layers = []
    for shape in machine.shapes:
        layer = np.rint(rng.laplace(0, mean, shape)) if mean else np.zeros(shape)
        if mean:
            layer.flat[rng.integers(layer.size)] = rng.integers(-LARGEST, LARGEST + 1)
        layers.append(np.clip(layer, -LARGEST, LARGEST).astype(np.int32))
    return layers


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@example(1.0, 3, (8192, 8192), True, 0.0)  # nothing but 0
@example(1.0, 3, (8192, 8192), False, 16.0)
@example(0.7, 1, (100, 1), True, 0.01)
@example(0.0, 3, (1, 1), True, 16.0)
@given(
    st.floats(0, 1),
    st.sampled_from([1, 3]),
    st.tuples(st.integers(1, 8192), st.integers(1, 8192)),
    st.booleans(),
    st.just(0.0) | st.floats(1e-6, 1e3),
)
def test_every_planned_file_can_be_written_and_read(size, channels, shape, tapered, mean):
    """Whatever training makes of the weights; of both versions."""
    smallest, largest = min_bytes(channels), max_bytes(channels)
    section = plan(smallest * (largest / smallest) ** size, channels, 1_000).model.machine
    machine = make_machine(section, channels)
    if not tapered:
        machine = machine.clone(width=machine.widths[1])
    rng = np.random.default_rng(0)
    image = QuantizedImage(
        *shape, 255, machine, rng.integers(0, 256, num_groups(machine), np.uint8),
        laplace(machine, rng, mean),
    )  # fmt: skip
    data = container.to_bytes(image)
    assert len(data) == container.file_size(image)
    assert data[4] == (2 if tapered else 1)
    read = container.from_bytes(data)
    assert (read.height, read.width, read.machine.widths) == (*shape, machine.widths)
    for layer, again in zip(image.integers, read.integers, strict=True):
        np.testing.assert_array_equal(layer, again)
    weights = vector_size(machine)
    assert weights <= machine_body.FREE_WEIGHTS + machine_body.MAX_WEIGHTS_PER_BYTE * len(data)
    if not mean:  # it is no larger than what the reader asks for, about
        assert len(data) < 1_000 + 2 * weights / machine_body.MAX_WEIGHTS_PER_BYTE


def test_no_steps():
    with pytest.raises(UsageError, match="--steps 0"):
        plan(1_000, 3, 0)
