"""Runs in one process with the devices it finds; tests/test_devices.py repeats it on more."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.data.positions import Target, pixel_positions
from dfm_flax.errors import UsageError
from dfm_flax.training.feed import PixelFeed, check_sampling
from dfm_flax.training.step import DEVICES, shard

BATCH = 36  # divides over 1 to 4 devices


def one_feed(image, sampling="uniform"):
    stacked = PixelFeed.stack([image], BATCH, sampling)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], stacked)


@pytest.mark.devices
def test_there_are_the_devices_that_were_asked_for():
    """By test_devices.py; a host may have any number."""
    devices = jax.local_device_count()
    assert devices == int(os.environ.get("EXPECTED_DEVICES", devices))


@pytest.mark.devices
@pytest.mark.parametrize("sampling", ["uniform", "stratified"])
def test_each_device_has_its_own_part_of_the_batch(sampling):
    devices = jax.local_device_count()
    image = np.random.default_rng(0).random((16, 24, 3)).astype(np.float32)
    feed, rng = one_feed(image, sampling), jax.random.PRNGKey(3)
    parts = jax.pmap(lambda _: feed.at(shard(feed.draw(rng, 0))), axis_name=DEVICES)(
        np.arange(devices)
    )
    assert parts.positions.shape == (devices, BATCH // devices, 2)
    index = Target.draw(feed.target, rng, BATCH, sampling == "stratified")
    np.testing.assert_array_equal(parts.positions.reshape(BATCH, 2), pixel_positions(index, 16, 24))
    np.testing.assert_allclose(
        parts.colors.reshape(BATCH, 3), 2 * image.reshape(-1, 3)[index] - 1, atol=1e-6
    )


def test_sampling_that_cannot_be_is_refused():
    with pytest.raises(UsageError, match="stratfied"):
        check_sampling(64, "stratfied")
    with pytest.raises(UsageError, match="at most"):
        check_sampling(100_000, "stratified")
