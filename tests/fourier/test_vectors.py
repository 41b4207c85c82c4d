import jax
import numpy as np
import pytest

from dfm_flax.fourier import (
    FourierMachine,
    apply_machines,
    initial_deviations,
    num_weights,
    split_vector,
    vector_size,
)

MACHINES = [
    FourierMachine(3, 4, 1, variances=(0.3, 0.1, 0.2), max_frequencies=(3, 1, 2)),
    FourierMachine(4, 5, 3, "additive", (4, 1, 1), variances=0.3, normalize=True, residual=False),
    FourierMachine(
        4, (6, 3, 5), 3, ("full", "additive", "additive"), variances=0.3, residual=False
    ),
]


@pytest.mark.parametrize("machine", MACHINES)
def test_many_machines_at_once_are_each_of_them_alone(machine):
    positions = jax.random.uniform(jax.random.PRNGKey(0), (7, 2))
    params = [machine.init(jax.random.PRNGKey(i), positions)["params"] for i in range(3)]
    vectors = np.stack(
        [
            np.concatenate([p[f"layer_{i}"]["coefficients"].ravel() for i in range(machine.depth)])
            for p in params
        ]
    )
    together = apply_machines(machine, vectors, positions)
    for colors, p, vector in zip(together, params, vectors, strict=True):
        np.testing.assert_allclose(colors, machine.apply({"params": p}, positions), atol=1e-5)
        jax.tree.map(np.testing.assert_array_equal, split_vector(machine, vector), p)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_vector_has_all_weights(machine):
    assert vector_size(machine) == num_weights(
        machine.depth, machine.width, machine.channels, machine.basis, machine.max_frequencies
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_deviations_are_those_of_drawn_machines(machine):
    def draw(rng):
        params = machine.init(rng, np.zeros((1, 2)))["params"]
        return jax.numpy.concatenate(
            [params[f"layer_{i}"]["coefficients"].ravel() for i in range(machine.depth)]
        )

    drawn = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.PRNGKey(0), 2000))
    np.testing.assert_allclose(drawn.std(axis=0), initial_deviations(machine), rtol=0.1)
