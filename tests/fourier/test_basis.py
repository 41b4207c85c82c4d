"""Each basis against plain enumerations and the formula in float64, and a user's own."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.fourier import BASES, FourierLayer, FourierMachine, num_weights
from dfm_flax.fourier.basis import Basis, make_basis

SIZES = [(1, 1), (2, 1), (2, 8), (3, 2), (5, 1)]  # m, F
each_basis = pytest.mark.parametrize("name", BASES.names())
each_size = pytest.mark.parametrize(("m", "max_frequency"), SIZES)

CHIRP = '''
import numpy as np
from dfm_flax.fourier import Basis


class Chirp(Basis):
    """Frequencies that double, all coordinates together."""

    def frequencies(self, m):
        return np.array([[0] * m] + [[2**f] * m for f in range(self.max_frequency)])


NOT_A_BASIS = 3
'''


@pytest.fixture
def chirp(tmp_path, monkeypatch):
    """The import path of a basis in a module of the user's."""
    (tmp_path / "waves_of_a_user.py").write_text(CHIRP)
    monkeypatch.syspath_prepend(tmp_path)
    return "waves_of_a_user:Chirp"


def enumerated(name, m, max_frequency):
    """The frequencies of a basis, written down one by one."""
    if name == "full":
        return list(itertools.product(range(max_frequency + 1), repeat=m))
    assert name == "additive"
    axes = [
        tuple(f if j == i else 0 for j in range(m))
        for f in range(1, max_frequency + 1)
        for i in range(m)
    ]
    return [(0,) * m, *axes]


def textbook(x, coefficients, frequencies):
    """The sum over frequencies, term by term, in float64."""
    y = np.zeros((len(x), coefficients.shape[1]))
    for row, k in enumerate(frequencies):
        angle = 2 * np.pi * (x @ np.array(k, np.float64))[:, None]
        y += np.cos(angle) * coefficients[row]
        if row:
            y += np.sin(angle) * coefficients[len(frequencies) - 1 + row]
    return y


def examples(basis, m):
    rng = np.random.default_rng(m)
    return rng.normal(size=(40, m)), rng.normal(size=(basis.num_rows(m), 3))


def compiled(series, x, coefficients):
    return jax.jit(lambda x, coefficients: series(x, coefficients))(x, coefficients)


def test_the_bases_of_this_package():
    assert BASES.names() == ["additive", "full"]
    codes = [BASES.get(name).code for name in BASES.names()]
    assert codes == [1, 0]  # as files have them


@each_basis
@each_size
def test_frequencies_and_rows_are_those_enumerated(name, m, max_frequency):
    basis = make_basis(name, max_frequency)
    k = enumerated(name, m, max_frequency)
    np.testing.assert_array_equal(basis.frequencies(m), k)
    assert basis.num_rows(m) == 2 * len(k) - 1


@each_basis
@each_size
def test_series_are_the_sums_over_the_frequencies(name, m, max_frequency):
    basis = make_basis(name, max_frequency)
    x, coefficients = examples(basis, m)
    expected = textbook(x, coefficients, enumerated(name, m, max_frequency))
    y = basis(jnp.asarray(x, jnp.float32), jnp.asarray(coefficients, jnp.float32))
    np.testing.assert_allclose(y, expected, rtol=2e-4, atol=2e-4)
    with jax.enable_x64(True):
        y = compiled(basis, x, coefficients)
        np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@each_basis
@each_size
def test_series_are_those_of_the_base_class(name, m, max_frequency):
    """What follows from the frequencies alone is what a basis does faster."""
    basis = make_basis(name, max_frequency)
    x, coefficients = examples(basis, m)
    with jax.enable_x64(True):
        by_frequencies = compiled(functools.partial(Basis.series, basis), x, coefficients)
        y = compiled(basis, x, coefficients)
        np.testing.assert_allclose(y, by_frequencies, rtol=1e-12, atol=1e-12)
    assert Basis.num_rows(basis, m) == basis.num_rows(m)
    assert Basis.num_groups(basis, m) == basis.num_groups(m)
    np.testing.assert_array_equal(Basis.groups(basis, m), basis.groups(m))


@each_basis
@each_size
def test_groups_have_equal_sums_of_frequencies(name, m, max_frequency):
    basis = make_basis(name, max_frequency)
    sums = [sum(k) for k in enumerated(name, m, max_frequency)]
    assert basis.groups(m).tolist() == sums + sums[1:]
    assert basis.num_groups(m) == max(sums) + 1


@each_basis
@each_size
def test_initial_deviations(name, m, max_frequency):
    basis = make_basis(name, max_frequency)
    k = enumerated(name, m, max_frequency)
    plain = basis.initial_deviations(m, 0.04)
    assert plain.shape == (2 * len(k) - 1,)
    np.testing.assert_allclose(plain, 0.2)
    decaying = basis.initial_deviations(m, 0.04, normalize=True)
    lengths = [sum(f * f for f in row) ** 0.5 for row in k]
    lengths += lengths[1:]
    expected = decaying[0] / np.sqrt(1 + np.array(lengths))
    np.testing.assert_allclose(decaying, expected)
    # cos^2 and sin^2 are 1/2 on average
    power = decaying[0] ** 2 + sum(deviation**2 / 2 for deviation in decaying[1:])
    assert power == pytest.approx(0.04)


@each_basis
def test_frequencies_are_at_least_1(name):
    with pytest.raises(ValueError, match="at least 1, not 0"):
        make_basis(name, 0)


def test_sizes_are_known_without_the_rows():
    """Of layers whose rows no memory holds."""
    assert make_basis("full", 1).num_rows(40) == 2**41 - 1
    assert make_basis("full", 9).num_groups(10**6) == 9 * 10**6 + 1
    assert make_basis("additive", 9).num_rows(10**9) == 18 * 10**9 + 1


@pytest.mark.parametrize(
    ("name", "m", "message"),
    [
        ("full", 30, "would have 6,442,450,941 weights"),
        ("full", 10**6, "1,000,000 arguments have 2.1000000 frequencies in the full basis"),
        ("additive", 2**30, "would have 6,442,450,947 weights"),
    ],
)
def test_impossible_sizes_are_refused_with_the_reason(name, m, message):
    layer = FourierLayer(3, make_basis(name, 1))
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(layer.init, jax.random.PRNGKey(0), jax.ShapeDtypeStruct((1, m), np.float32))


def test_names_are_answered():
    with pytest.raises(UsageError, match=r"basis 'ful' is not one of .* did you mean 'full'"):
        FourierMachine(3, 4, basis="ful")


def test_what_is_no_basis_is_refused(chirp):
    with pytest.raises(ValueError, match=r"NOT_A_BASIS' is no subclass of dfm_flax.fourier.Basis"):
        FourierMachine(3, 4, basis="waves_of_a_user:NOT_A_BASIS")


def test_a_users_basis_has_its_series(chirp):
    basis = make_basis(chirp, 3)
    x, coefficients = examples(basis, 2)
    expected = textbook(x, coefficients, [(0, 0), (1, 1), (2, 2), (4, 4)])
    y = basis(jnp.asarray(x, jnp.float32), jnp.asarray(coefficients, jnp.float32))
    np.testing.assert_allclose(y, expected, rtol=2e-4, atol=2e-4)
    assert basis.groups(2).tolist() == [0, 1, 2, 3, 1, 2, 3]


def test_a_machine_of_a_users_basis_trains(chirp):
    machine = FourierMachine(
        3, 5, 1, (chirp, "additive", chirp), (3, 1, 2), variances=0.05, normalize=True
    )
    positions = jax.random.uniform(jax.random.PRNGKey(0), (200, 2))
    target = jnp.sin(3 * positions[:, :1] + positions[:, 1:])
    params = machine.init(jax.random.PRNGKey(1), positions)["params"]
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    assert sizes == [7 * 5, 11 * 5, 5 * 1]
    assert sum(sizes) == num_weights(3, 5, 1, machine.basis, machine.max_frequencies)

    def loss(params):
        return jnp.mean((machine.apply({"params": params}, positions) - target) ** 2)

    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(params, state):
        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    values = []
    for _ in range(100):
        params, state, value = step(params, state)
        values.append(float(value))
    assert values[-1] < values[0] / 4
