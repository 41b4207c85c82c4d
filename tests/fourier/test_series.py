"""Every test of values and gradients runs on both evaluations: compiled kernels and XLA."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfm_flax.fourier import (
    BASES,
    Additive,
    Full,
    additive_fourier_series,
    by_xla,
    fourier_series,
    native,
)
from dfm_flax.fourier.series import evaluation

CASES = (
    [(m, 1) for m in range(1, 9)]
    + [(m, 2) for m in range(1, 6)]
    + [(2, 3), (3, 4), (2, 7), (2, 16)]
)


# Positions less than a tile, and several chunks, of kernels; to XLA all numbers are alike.
SHAPES = [
    (by, m, max_frequency, positions)
    for m, max_frequency in CASES
    for by, positions in (("kernels", 1), ("kernels", 50), ("kernels", 2100), ("xla", 50))
]


@pytest.fixture(params=["kernels", "xla"])
def backend(request):
    """Has the test run with one evaluation, and makes sure that it is that one."""
    if request.param == "kernels" and jax.default_backend() != "cpu":
        pytest.skip("the compiled kernels are for CPUs")
    with by_xla() if request.param == "xla" else contextlib.nullcontext():
        # A test machine must have a compiler: without one the kernels would go untested.
        assert evaluation().startswith({"kernels": "compiled", "xla": "XLA"}[request.param])
        yield request.param


def textbook(x, coefficients, k):
    """The series over the frequencies k and its gradients by the formula, in float64."""
    theta = 2 * np.pi * x @ k.T
    cos, sin = np.cos(theta), np.sin(theta)[:, 1:]
    a, b = coefficients[: len(k)], coefficients[len(k) :]

    def gradients(cotangent):
        d_theta = -np.sin(theta) * (cotangent @ a.T)
        d_theta[:, 1:] += cos[:, 1:] * (cotangent @ b.T)
        return 2 * np.pi * d_theta @ k, np.concatenate([cos.T @ cotangent, sin.T @ cotangent])

    return cos @ a + sin @ b, gradients


def value_and_gradients(series, x, coefficients, cotangent):
    """A series and the gradients in its arguments, compiled as one."""

    @jax.jit
    def of(x, coefficients, cotangent):
        y, vjp = jax.vjp(series, x, coefficients)
        return y, vjp(cotangent)

    return of(x, coefficients, cotangent)


def relative_error(value, reference):
    return np.linalg.norm(np.asarray(value, np.float64) - reference) / np.linalg.norm(reference)


def example(m, max_frequency, positions=50, n=3):
    rng = np.random.default_rng(m)
    x = rng.normal(size=(positions, m), scale=2).astype(np.float32)
    coefficients = rng.normal(size=(Full(max_frequency).num_rows(m), n)).astype(np.float32)
    return x, coefficients, rng.normal(size=(positions, n)).astype(np.float32)


@pytest.mark.parametrize(
    ("backend", "m", "max_frequency", "positions"), SHAPES, indirect=["backend"]
)
def test_value_and_gradients_are_the_textbook_sums(backend, m, max_frequency, positions):
    x, coefficients, cotangent = example(m, max_frequency, positions)
    expected, gradients = textbook(
        x.astype(np.float64), coefficients.astype(np.float64), Full(max_frequency).frequencies(m)
    )
    y, (d_x, d_coefficients) = value_and_gradients(
        lambda x, c: fourier_series(x, c, max_frequency), x, coefficients, cotangent
    )
    expected_d_x, expected_d_coefficients = gradients(cotangent.astype(np.float64))
    assert relative_error(y, expected) < 1e-5
    assert relative_error(d_x, expected_d_x) < 1e-5
    assert relative_error(d_coefficients, expected_d_coefficients) < 1e-5


@pytest.mark.parametrize(("m", "max_frequency"), [(1, 1), (2, 1), (2, 8), (7, 3), (60, 1)])
def test_additive_series_is_the_textbook_sum_over_the_axes(backend, m, max_frequency):
    k = Additive(max_frequency).frequencies(m)
    assert len(k) == m * max_frequency + 1
    assert ((k > 0).sum(axis=1) <= 1).all()
    rng = np.random.default_rng(m)
    x = rng.normal(size=(50, m)).astype(np.float32)
    shape = (Additive(max_frequency).num_rows(m), 3)
    coefficients = rng.normal(size=shape).astype(np.float32)
    cotangent = rng.normal(size=(50, 3)).astype(np.float32)
    expected, gradients = textbook(x.astype(np.float64), coefficients.astype(np.float64), k)
    y, found = value_and_gradients(
        lambda x, c: additive_fourier_series(x, c, max_frequency), x, coefficients, cotangent
    )
    assert relative_error(y, expected) < 1e-5
    expected_gradients = gradients(cotangent.astype(np.float64))
    for gradient, expected_gradient in zip(found, expected_gradients, strict=True):
        assert relative_error(gradient, expected_gradient) < 1e-5


def test_additive_series_is_the_full_one_without_the_mixed_frequencies(backend):
    x, coefficients, _ = example(3, 2)
    k = Full(2).frequencies(3)
    mixed = (k > 0).sum(axis=1) > 1
    coefficients[np.concatenate([mixed, mixed[1:]])] = 0
    order = [int(np.flatnonzero((k == row).all(axis=1))[0]) for row in Additive(2).frequencies(3)]
    rows = order + [len(k) - 1 + row for row in order[1:]]
    np.testing.assert_allclose(
        additive_fourier_series(x, coefficients[rows], 2),
        fourier_series(x, coefficients, 2),
        rtol=1e-4,
        atol=1e-4,
    )


def test_float64_is_exact_to_float64():
    with jax.enable_x64(True):
        x, coefficients, cotangent = (array.astype(np.float64) for array in example(5, 2))
        expected, gradients = textbook(x, coefficients, Full(2).frequencies(5))
        y, (d_x, _) = value_and_gradients(
            lambda x, c: fourier_series(x, c, 2), x, coefficients, cotangent
        )
        assert y.dtype == jnp.float64
        assert relative_error(y, expected) < 1e-13
        assert relative_error(d_x, gradients(cotangent)[0]) < 1e-13


def test_far_from_the_origin_the_period_is_kept_exactly(backend):
    x, coefficients, _ = example(3, 1)
    x = np.round(x * 64) / 64  # so that adding whole periods is exact in float32
    np.testing.assert_array_equal(
        fourier_series(x, coefficients), fourier_series(x + np.float32(1024), coefficients)
    )


def test_leading_axes_are_kept(backend):
    x, coefficients, _ = example(4, 1, positions=24)
    y = fourier_series(x.reshape(2, 3, 4, 4), coefficients)
    assert y.shape == (2, 3, 4, 3)
    np.testing.assert_allclose(
        y.reshape(24, 3), fourier_series(x, coefficients), rtol=1e-5, atol=1e-5
    )


def test_vmap_over_machines_gives_each_machine(backend):
    x, coefficients, _ = example(6, 1)
    both = jnp.stack([coefficients, -2 * coefficients])
    y = jax.jit(jax.vmap(lambda c: fourier_series(x, c)))(both)
    np.testing.assert_allclose(y[0], fourier_series(x, coefficients), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(y[1], -2 * y[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", BASES.names())
def test_gradients_of_machines_at_shared_and_at_own_positions(backend, name):
    """vmap of the gradient over coefficients alone, and over positions too, against a loop."""
    series = BASES.get(name)()
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(4, 100, 3)), jnp.float32)
    coefficients = jnp.asarray(rng.normal(size=(4, series.num_rows(3), 2)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x, c: jnp.sum(series(x, c) ** 2), (0, 1)))
    own = jax.jit(jax.vmap(gradient))(x, coefficients)
    shared = jax.jit(jax.vmap(gradient, in_axes=(None, 0)))(x[0], coefficients)
    for i in range(4):
        for vmapped, alone in (
            (own, gradient(x[i], coefficients[i])),
            (shared, gradient(x[0], coefficients[i])),
        ):
            for a, b in zip(vmapped, alone, strict=True):
                assert relative_error(a[i], np.asarray(b)) < 1e-5


def test_kernels_give_the_same_bits_in_every_call():
    """Whichever thread takes which chunk: sums are always added in the same order."""
    if not evaluation().startswith("compiled"):
        pytest.skip("no kernels")
    x, coefficients, cotangent = example(6, 1, positions=20_000)

    def gradients():
        return jax.vjp(fourier_series, x, coefficients)[1](cotangent)

    first = gradients()
    for _ in range(10):
        for a, b in zip(gradients(), first, strict=True):
            np.testing.assert_array_equal(a, b)


def test_not_a_number_is_not_hidden(backend):
    x, coefficients, _ = example(4, 1)
    x[3, 2] = np.nan
    y = np.asarray(fourier_series(x, coefficients))
    assert np.isnan(y[3]).all()
    assert np.isfinite(np.delete(y, 3, axis=0)).all()


@pytest.mark.parametrize("series", [fourier_series, additive_fourier_series])
def test_bfloat16_is_computed_in_float32(series):
    """Arguments and coefficients are rounded, and so is the value, and nothing between them."""
    x = jax.random.uniform(jax.random.key(0), (50, 3), jnp.bfloat16)
    rows = Full(1).num_rows(3) if series is fourier_series else Additive(1).num_rows(3)
    coefficients = jax.random.normal(jax.random.key(1), (rows, 4), jnp.bfloat16)
    y = series(x, coefficients)
    assert y.dtype == jnp.bfloat16
    exact = series(x.astype(jnp.float32), coefficients.astype(jnp.float32))
    np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16))
    assert series(x, coefficients.astype(jnp.float32)).dtype == jnp.float32


@pytest.mark.parametrize("series", [fourier_series, additive_fourier_series])
def test_all_derivatives_can_be_had(series):
    """Of the formula's second derivatives; in one line it says how."""
    x = jax.random.uniform(jax.random.key(0), (3,))
    basis = Full(2) if series is fourier_series else Additive(2)
    coefficients = jax.random.normal(jax.random.key(1), (basis.num_rows(3), 1))
    k = basis.frequencies(3)

    def formula(x):
        angles = 2 * jnp.pi * (k @ x)
        return coefficients[: len(k), 0] @ jnp.cos(angles) + coefficients[len(k) :, 0] @ jnp.sin(
            angles[1:]
        )

    def of(x):
        return series(x, coefficients, 2)[0]

    def assert_near(derivative, expected, rtol, atol):
        # A function that JAX has not seen: what it has traced does not depend on `by_xla`.
        found = jax.jit(lambda x: derivative(of)(x))(x)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)

    expected, slope = jax.jit(lambda x: (jax.hessian(formula)(x), jax.grad(formula)(x)))(x)
    with by_xla(all_derivatives=True):
        assert_near(jax.hessian, expected, rtol=2e-3, atol=0.05)
        assert_near(lambda of: jax.jacfwd(jax.jacfwd(of)), expected, rtol=2e-3, atol=0.05)
        assert_near(jax.grad, slope, rtol=1e-3, atol=0.01)
    with by_xla():
        assert_near(jax.hessian, expected, rtol=1e-4, atol=0.01)
    with pytest.raises(TypeError, match=r"trace under .*by_xla\(all_derivatives=True\)"):
        jax.jvp(of, (x,), (x,))
    with pytest.raises(TypeError, match=r"forward-mode autodiff \(jvp\) to a custom_vjp"):
        jax.linearize(of, x)[1](x)
    if not native.why_not():
        with pytest.raises(TypeError, match=r"trace under .*by_xla\(all_derivatives=True\)"):
            jax.hessian(of)(x)


def test_evaluation_says_why_there_are_no_kernels(monkeypatch):
    from dfm_flax.fourier import native

    monkeypatch.setattr(native, "why_not", lambda: "no compiler")
    assert evaluation() == "XLA, slower than the compiled kernels (no compiler)"


def test_features_are_never_all_in_memory(equations):
    """The largest intermediate of m = 8 at P positions is a fourth of the 2^8 products, by XLA."""
    positions = 1000
    x = jax.ShapeDtypeStruct((positions, 8), jnp.float32)
    coefficients = jax.ShapeDtypeStruct((Full().num_rows(8), 4), jnp.float32)

    def loss(x, c):
        return fourier_series(x, c).sum()

    shapes = [
        v.aval.shape
        for equation in equations(jax.grad(loss, (0, 1)), x, coefficients)
        for v in equation.outvars
    ]
    largest = max(np.prod(shape) for shape in shapes if positions in shape)
    assert largest == 64 * positions


def test_wrong_number_of_coefficients_is_refused():
    with pytest.raises(ValueError, match="7 rows of coefficients, not 8"):
        fourier_series(jnp.zeros((5, 2)), jnp.zeros((8, 3)))
    with pytest.raises(ValueError, match="5 rows of coefficients, not 8"):
        additive_fourier_series(jnp.zeros((5, 2)), jnp.zeros((8, 3)))
