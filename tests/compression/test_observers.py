import jax
import numpy as np
import optax

from dfm_flax.compression.jobs import Job
from dfm_flax.compression.observer import OBSERVERS, MachinesSnapshot
from dfm_flax.config import load_config
from dfm_flax.data.images import Image
from dfm_flax.fourier import FourierMachine
from dfm_flax.metrics.distortion import psnr
from dfm_flax.training.state import initial_states

MACHINE = FourierMachine(2, 3, variances=1e-2)


def snapshot(num):
    rng = np.random.default_rng(0)
    images = [Image(rng.random((40, 50, 3)).astype(np.float32), 255, f"i{i}") for i in range(num)]
    jobs = [Job(image, seed) for seed, image in enumerate(images)]
    state = initial_states(MACHINE, optax.sgd(0.1), [job.seed for job in jobs])
    return MachinesSnapshot(MACHINE, jobs, state)


def observe(name, looked_at):
    return OBSERVERS.get(name)(load_config("base_compression"))(looked_at)


def drawn(looked_at, index):
    """Pixel by pixel from the machine itself."""
    y, x = np.mgrid[:40, :50]
    positions = np.stack([(x + 0.5) / 50, (y + 0.5) / 40], axis=-1).astype(np.float32)
    params = jax.tree.map(lambda leaf: leaf[index], looked_at.state.params)
    return (np.asarray(MACHINE.apply({"params": params}, positions)) + 1) / 2


def test_reconstructions_stand_beside_their_errors():
    looked_at = snapshot(6)
    seen = observe("reconstructions", looked_at)
    assert list(seen.figures) == [f"growing/i{i}_seed{i}" for i in range(4)]
    picture = seen.figures["growing/i1_seed1"]
    expected = drawn(looked_at, 1)
    error = 10 * np.abs(expected - looked_at.jobs[1].image.pixels)
    np.testing.assert_allclose(picture[:, :50], expected, atol=1e-5)
    np.testing.assert_allclose(picture[:, 50:], np.clip(error, 0, 1), atol=1e-4)


def test_distortion_is_that_of_the_whole_image():
    looked_at = snapshot(2)
    metrics = observe("distortion", looked_at).metrics
    expected = psnr(looked_at.jobs[1].image.pixels, drawn(looked_at, 1))
    np.testing.assert_allclose(metrics["whole_psnr/i1_seed1"], expected, rtol=1e-4)
    assert "whole_ssim/i0_seed0" in metrics
    assert "whole_ms_ssim/i0_seed0" not in metrics  # the image is too small for it
