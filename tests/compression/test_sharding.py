"""Compression's loss on all devices found; tests/test_devices.py repeats it on 2 and 4."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.compression.train import reconstruction_loss
from dfm_flax.data.positions import Target, pixel_positions
from dfm_flax.fourier import FourierMachine
from dfm_flax.training.step import DEVICES

BATCH = 32


def test_there_are_the_devices_that_were_asked_for():
    assert jax.local_device_count() == int(os.environ.get("EXPECTED_DEVICES", 1))


class Recorder:
    """A model that keeps the positions it is asked for."""

    def apply(self, variables, positions):
        self.positions = positions
        return jnp.zeros((len(positions), 3))


def make_target(image):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), Target.stack([image]))


@pytest.mark.parametrize("sampling", ["uniform", "stratified"])
def test_each_device_evaluates_its_own_part_of_the_batch(sampling):
    devices = jax.local_device_count()
    target = make_target(np.ones((16, 24, 3)))
    rng = jax.random.PRNGKey(3)

    def evaluate(_):
        model = Recorder()
        reconstruction_loss(model, BATCH, sampling)({}, target, rng)
        return model.positions

    parts = jax.pmap(evaluate, axis_name=DEVICES)(np.arange(devices))
    assert parts.shape == (devices, BATCH // devices, 2)
    batch = target.draw(rng, BATCH, stratified=sampling == "stratified")
    np.testing.assert_array_equal(
        parts.reshape(BATCH, 2), pixel_positions(batch, target.height, target.width)
    )


def test_losses_of_the_parts_average_to_that_of_the_batch():
    devices = jax.local_device_count()
    target = make_target(np.random.default_rng(0).random((16, 24, 3)))
    machine = FourierMachine(3, 4, variances=1e-2)
    params = machine.init(jax.random.PRNGKey(0), jnp.zeros((1, 2)))["params"]
    rng = jax.random.PRNGKey(3)
    losses = jax.pmap(
        lambda _: reconstruction_loss(machine, BATCH)(params, target, rng), axis_name=DEVICES
    )(np.arange(devices))
    positions, colors = target.at(target.draw(rng, BATCH))
    expected = np.mean((machine.apply({"params": params}, positions) - colors) ** 2)
    np.testing.assert_allclose(np.mean(losses), expected, rtol=1e-5)
    assert len(set(np.asarray(losses).tolist())) == devices  # each saw other pixels
