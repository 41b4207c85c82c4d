import jax
import numpy as np
import pytest

from dfm_flax.benchmarks.spread import spread
from dfm_flax.data.positions import Target
from dfm_flax.fourier import FourierMachine


def test_outputs_of_the_first_layer_spread_by_their_coefficients():
    """Over a whole period each of the four waves has half its square: the variance is 2 v."""
    image = np.random.default_rng(0).uniform(size=(40, 40, 3)).astype(np.float32)
    target = jax.tree.map(lambda leaf: leaf[0], Target.stack([image]))
    machine = FourierMachine(3, 400, variances=(0.01, 0.0, 0.0), basis="additive")
    first, hidden, last = spread(machine, target)
    assert first[0] == pytest.approx(0.02**0.5, rel=0.1)
    assert hidden[0] == pytest.approx(first[0], rel=1e-5)  # the residual alone
    assert last[0] == 0
    assert first[1] == 0  # nothing gets through a last layer of zeros
    assert last[1] > 0
