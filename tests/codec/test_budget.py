import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.codec.budget import QuantizedMachine, laplace_bits, quantization, step_sizes
from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.fourier import FourierMachine

MACHINE = FourierMachine(
    depth=3, width=8, basis="additive", max_frequencies=(4, 1, 1), normalize=True, residual=False,
    variances=(0.3, 0.06, 0.05),
)  # fmt: skip


@pytest.fixture(scope="module")
def params():
    made = QuantizedMachine(MACHINE).init(jax.random.PRNGKey(0), jnp.zeros((1, 2)))["params"]
    noise = jax.random.normal(jax.random.PRNGKey(1), made["log_step_sizes"].shape)
    return made | {"log_step_sizes": 0.3 * noise}


@pytest.mark.parametrize("mean", [0.01, 0.3, 0.99, 1.01, 2.0, 50.0, 900.0])
def test_entropy_of_the_two_sided_geometric(mean):
    n = np.arange(-20_000, 20_001)
    ratio = mean / (1 + np.sqrt(1 + mean**2))
    p = (1 - ratio) / (1 + ratio) * ratio ** np.abs(n)
    assert p.sum() == pytest.approx(1)
    assert np.abs(n) @ p == pytest.approx(mean)
    entropy = -np.sum(p * np.log2(np.maximum(p, 1e-300)))
    assert laplace_bits(jnp.float32(mean)) == pytest.approx(entropy, rel=1e-4)


@pytest.mark.parametrize("bits_per_weight", [0.5, 2, 6, 12])
def test_steps_spend_the_budget(params, bits_per_weight):
    layers = [params["machine"][f"layer_{i}"]["coefficients"] for i in range(3)]
    budget = bits_per_weight * sum(layer.size for layer in layers)
    sizes = np.asarray(step_sizes(MACHINE, params, jnp.float32(budget)))
    total = 0.0
    for group in range(num_groups(MACHINE)):
        weights = np.concatenate(
            [
                np.asarray(layer)[rows == group].ravel()
                for layer, rows in zip(layers, row_groups(MACHINE), strict=True)
            ]
        )
        mean = np.abs(weights).mean() / sizes[group]
        total += weights.size * float(laplace_bits(jnp.float32(mean)))
    assert total == pytest.approx(budget, rel=2e-3)
    # Their ratios are free.
    np.testing.assert_allclose(
        np.diff(np.log(sizes)), np.diff(np.asarray(params["log_step_sizes"])), atol=1e-4
    )


def test_gradients_are_those_of_the_constraint(params):
    """Central differences of a step size in the logarithms, the weights' scale, the budget."""
    budget = jnp.float32(2_000.0)

    def first_step(params, budget):
        return jnp.log(step_sizes(MACHINE, params, budget)[3])

    gradient, by_budget = jax.grad(first_step, argnums=(0, 1))(params, budget)

    def moved(group, amount):
        return params | {"log_step_sizes": params["log_step_sizes"].at[group].add(amount)}

    for group in (0, 3, 6):
        difference = first_step(moved(group, 0.1), budget) - first_step(moved(group, -0.1), budget)
        assert gradient["log_step_sizes"][group] == pytest.approx(float(difference) / 0.2, abs=5e-3)
    difference = first_step(params, budget + 50) - first_step(params, budget - 50)
    assert by_budget == pytest.approx(float(difference) / 100, rel=2e-2)

    def scaled(scale):
        machine = jax.tree.map(lambda leaf: leaf * scale, params["machine"])
        return first_step(params | {"machine": machine}, budget)

    along = sum(
        jnp.vdot(g, w)
        for g, w in zip(
            jax.tree.leaves(gradient["machine"]), jax.tree.leaves(params["machine"]), strict=True
        )
    )
    assert along == pytest.approx(float(scaled(1.1) - scaled(0.9)) / 0.2, rel=2e-2)


def test_noise_is_one_step_wide(params):
    budget = jnp.float32(2_000.0)
    sizes = np.asarray(step_sizes(MACHINE, params, budget))
    noisy = quantization(MACHINE, params, budget, jax.random.PRNGKey(2))
    for i, rows in enumerate(row_groups(MACHINE)):
        difference = (
            noisy[f"layer_{i}"]["coefficients"] - params["machine"][f"layer_{i}"]["coefficients"]
        )
        relative = np.asarray(difference) / sizes[rows][:, None]
        assert np.abs(relative).max() <= 0.5 + 1e-3
        assert relative.std() == pytest.approx(12**-0.5, rel=0.2)


def test_rounded_weights_are_multiples_of_their_steps(params):
    budget = jnp.float32(2_000.0)
    sizes = np.asarray(step_sizes(MACHINE, params, budget))
    rounded = quantization(MACHINE, params, budget, None)
    for i, rows in enumerate(row_groups(MACHINE)):
        weights = params["machine"][f"layer_{i}"]["coefficients"]
        expected = np.rint(weights / sizes[rows][:, None]) * sizes[rows][:, None]
        np.testing.assert_allclose(rounded[f"layer_{i}"]["coefficients"], expected, atol=1e-6)


def test_rounding_passes_gradients_on(params):
    """The gradient of a sum is 1 for each weight, but for the steps' own share in it."""

    def total(machine):
        fixed = params | {"machine": machine}
        return quantization(MACHINE, fixed, jnp.float32(7_000.0), None)["layer_1"][
            "coefficients"
        ].sum()

    gradient = jax.grad(total)(params["machine"])["layer_1"]["coefficients"]
    np.testing.assert_allclose(gradient, 1, atol=2e-2)  # with so many bits steps are tiny
