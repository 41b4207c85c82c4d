import jax
import numpy as np

from dfm_flax.compression.losses import mse
from dfm_flax.fourier import FourierMachine
from dfm_flax.training.feed import PixelBatch

RNG = np.random.default_rng(0)
KEY = jax.random.PRNGKey(0)


def test_equation_4_7_and_its_gradient_without_any_device_axis():
    machine = FourierMachine(3, 3, variances=1e-2)
    batch = PixelBatch(
        RNG.random((50, 2)).astype(np.float32), RNG.uniform(-1, 1, (50, 3)).astype(np.float32)
    )
    params = machine.init(KEY, batch.positions)["params"]
    loss = mse(machine)
    (value, metrics), gradients = jax.value_and_grad(loss, has_aux=True)(params, batch, KEY)
    colors = np.asarray(machine.apply({"params": params}, batch.positions), float)
    lengths = np.linalg.norm(colors - batch.colors, axis=1)  # over the channels of a color
    np.testing.assert_allclose(value, np.mean(lengths**2), rtol=1e-5)
    np.testing.assert_allclose(metrics["mse"], np.mean((colors - batch.colors) ** 2), rtol=1e-5)
    # The directional derivative, by central differences.
    direction = jax.tree.map(lambda leaf: RNG.normal(size=leaf.shape), params)
    step = 1e-3
    ahead, behind = (
        float(loss(jax.tree.map(lambda p, d, s=s: p + s * d, params, direction), batch, KEY)[0])
        for s in (step, -step)
    )
    slope = sum(
        np.sum(np.asarray(g) * d)
        for g, d in zip(jax.tree.leaves(gradients), jax.tree.leaves(direction), strict=True)
    )
    np.testing.assert_allclose((ahead - behind) / (2 * step), slope, rtol=2e-2)
