"""The full series through XLA, as real tensor products.

The series of K = (F+1)^m frequencies never needs K cosines a position. With
theta_i = pi x_i, and frequencies centered by g_i = 2 k_i - F,

    exp(2 pi i k.x) = exp(i F sum_i theta_i) * prod_i exp(i g_i theta_i),

and each factor of the product is a combination of F+1 *real* functions of one
coordinate: cos(g theta), sin(g theta) for g = F, F-2, .. >= 0. So the series is

    y = cos(S) sum_t alpha_t T_t(x) + sin(S) sum_t beta_t T_t(x),   S = F sum_i theta_i,

where the T_t are the K real tensor products of those functions and alpha, beta
are linear in a, b (for F = 1 a signed Walsh-Hadamard transform, done once a
step, not once a position). Halving the coordinates, T_t = T_p T_q, the sum over
q is one dense matrix product of exactly the textbook's useful work, 2 x 2K x n
operations a position, and the sum over the few p is a short contraction. Of the
K products of a position only the T_q are written to memory, for F = 1 a fourth of them.

Layout: positions are the last axis, so that every elementwise operation runs along
contiguous memory.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex128, Float, Float64

from dfm_flax.fourier.series import derivatives_by_jax
from dfm_flax.fourier.trigonometry import sin_cos_pi
from dfm_flax.typing import AnyArray

# Coordinates whose products are contracted position by position; the others go
# through the matrix product. Two kept the stored intermediate smallest at equal speed.
_MAX_OUTER_COORDINATES = 2


# --- coefficients of the real tensor products -------------------------------------------------


def _factor_frequencies(max_frequency: int) -> list[int]:
    """The g of the functions of one coordinate, each cos(g theta), then sin(g theta) if g > 0."""
    return list(range(max_frequency, -1, -2))


def _factor_matrix(
    max_frequency: int,
) -> Complex128[np.ndarray, "{max_frequency}+1 {max_frequency}+1"]:
    """M[t, k] with exp(i (2k - F) theta) = sum_t M[t, k] B_t(theta)."""
    rows = [
        (g, unit) for g in _factor_frequencies(max_frequency) for unit in ((1, 1j) if g else (1,))
    ]
    matrix = np.zeros((max_frequency + 1, max_frequency + 1), complex)
    for k in range(max_frequency + 1):
        g = 2 * k - max_frequency
        for t, (row_g, unit) in enumerate(rows):
            if row_g == abs(g):
                matrix[t, k] = unit if unit == 1 else unit * np.sign(g)
    return matrix


@functools.cache
def _real_transform(
    coordinates: int, max_frequency: int
) -> Float64[np.ndarray, "2 products 2 frequencies"]:
    """The Kronecker power of `_factor_matrix` acting on (real, imaginary)."""
    matrix = np.ones((1, 1), complex)
    for _ in range(coordinates):
        matrix = np.kron(matrix, _factor_matrix(max_frequency))
    real, imaginary = matrix.real, matrix.imag
    return np.stack([np.stack([real, -imaginary], 1), np.stack([imaginary, real], 1)])


def tensor_product_matrix(
    coefficients: Float[AnyArray, "rows n"], m: int, max_frequency: int
) -> Float[jax.Array, "(rows+1)//2 2*n"]:
    """The alpha, then the beta, of all outputs, from the a_k and b_k."""
    outer = m // 2  # any split will do; halves take the least work
    n, count = coefficients.shape[-1], (max_frequency + 1) ** m
    a = coefficients[:count]
    b = jnp.concatenate([jnp.zeros((1, n), a.dtype), coefficients[count:]])
    w = jnp.stack([a, -b]).reshape(2, (max_frequency + 1) ** outer, -1, n)
    precision = jax.lax.Precision.HIGHEST
    transform = _real_transform(outer, max_frequency).astype(a.dtype)
    u = jnp.einsum("csdp,dpqn->csqn", transform, w, precision=precision)
    # y = Re(exp(iS) Z) = cos(S) Re Z - sin(S) Im Z, so the imaginary part changes its sign.
    transform = np.array([1, -1])[:, None, None, None] * _real_transform(m - outer, max_frequency)
    u = jnp.einsum("ctdq,dsqn->stcn", transform.astype(a.dtype), u, precision=precision)
    return u.reshape(count, 2 * n)


# --- the series at many positions, value and gradient ----------------------------------------


def _factors(
    x: Float[AnyArray, "m points"], max_frequency: int
) -> list[Float[jax.Array, "m points"]]:
    """The F+1 functions of each coordinate."""
    sin, cos = sin_cos_pi(x)
    if max_frequency == 1:
        return [cos, sin]
    sin2, cos2 = 2 * sin * cos, cos * cos - sin * sin
    odd = max_frequency % 2
    pairs = [(cos, sin) if odd else (cos2, sin2)]
    while len(pairs) < (max_frequency + 1) // 2:
        c, s = pairs[-1]
        pairs.append((c * cos2 - s * sin2, c * sin2 + s * cos2))
    rows = [row for pair in reversed(pairs) for row in pair]
    return rows if odd else [*rows, jnp.ones_like(x)]


def _tensor_products(
    factors: list[Float[jax.Array, "m points"]], coordinates: range
) -> Float[jax.Array, "{len(factors)**len(coordinates)} points"]:
    """All products of one function of each coordinate."""
    products = jnp.ones((1, factors[0].shape[-1]), factors[0].dtype)
    for i in reversed(coordinates):
        products = jnp.concatenate([products * f[i] for f in factors])
    return products


def _phase_gradient(
    products: Float[jax.Array, "products points"],
    cotangent: Float[AnyArray, "products points"],
    coordinates: range,
    m: int,
    max_frequency: int,
) -> Float[jax.Array, "{m} points"]:
    """The gradient of sum(products * cotangent) in theta, zero outside `coordinates`.

    d cos(g theta) = -g sin(g theta) and d sin(g theta) = g cos(g theta) are again rows of
    `products`. The sums over rows are matrix products with a row of ones: XLA's CPU
    backend is slow at reductions over a leading axis.
    """
    total = jnp.zeros((m, products.shape[-1]), products.dtype)
    for place, i in enumerate(coordinates):
        split = ((max_frequency + 1) ** place, max_frequency + 1, -1, products.shape[-1])
        t, d = products.reshape(split), cotangent.reshape(split)
        for pair, g in enumerate(_factor_frequencies(max_frequency)):
            if g:
                c, s = 2 * pair, 2 * pair + 1
                terms = (d[:, s] * t[:, c] - d[:, c] * t[:, s]).reshape(-1, products.shape[-1])
                row = np.zeros((m, terms.shape[0]), terms.dtype)
                row[i] = g
                total = total + _exact_matmul(row, terms)
    return total


def _exact_matmul(
    constant: Float[np.ndarray, "rows inner"], x: Float[AnyArray, "inner points"]
) -> Float[jax.Array, "rows points"]:
    return jnp.matmul(constant, x, precision=jax.lax.Precision.HIGHEST)


def _materialize(x: Float[AnyArray, "n points"]) -> Float[jax.Array, "n points"]:
    """Keep the compiler from computing `x` again in each of its consumers.

    XLA's CPU backend drops optimization barriers before it fuses, and fuses whole
    layers into one loop that evaluates them many times over (8 times slower for six
    layers). It never fuses through a matrix product; one with the identity is exact.
    """
    if jax.default_backend() == "cpu":
        return _exact_matmul(np.eye(x.shape[0], dtype=x.dtype), x)
    return jax.lax.optimization_barrier(x)


def _half_products(
    x: Float[AnyArray, "m points"], outer: int, max_frequency: int
) -> tuple[
    Float[jax.Array, "outer points"],
    Float[jax.Array, "inner points"],
    Float[jax.Array, "points"],
    Float[jax.Array, "points"],
]:
    """T_p, T_q and cos, sin of the common phase S = F sum_i pi x_i."""
    factors = _factors(x, max_frequency)
    sin, cos = sin_cos_pi(max_frequency * functools.reduce(jnp.add, list(x)))
    coordinates = range(x.shape[0])
    return (
        _tensor_products(factors, coordinates[:outer]),
        _tensor_products(factors, coordinates[outer:]),
        cos,
        sin,
    )


def series(
    x: Float[AnyArray, "m points"],
    matrix: Float[AnyArray, "frequencies columns"],
    max_frequency: int,
) -> Float[jax.Array, "columns//2 points"]:
    """The series of a `tensor_product_matrix`."""
    outer = min(_MAX_OUTER_COORDINATES, x.shape[0] // 2)
    # [P, 2n, Q] maps the T_q to the terms of each T_p.
    split = matrix.reshape((max_frequency + 1) ** outer, -1, matrix.shape[1])
    mixing = jnp.swapaxes(split, 1, 2)
    if derivatives_by_jax():
        return _series_forward(x, mixing, max_frequency, outer)[0]
    return _series(x, mixing, max_frequency, outer)


# What the gradient needs: the arguments, and the terms of each T_p.
_Residuals = tuple[
    Float[AnyArray, "m points"],
    Float[AnyArray, "outer columns inner"],
    Float[AnyArray, "outer columns points"],
]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _series(
    x: Float[AnyArray, "m points"],
    mixing: Float[AnyArray, "outer columns inner"],
    max_frequency: int,
    outer: int,
) -> Float[jax.Array, "columns//2 points"]:
    return _series_forward(x, mixing, max_frequency, outer)[0]


def _series_forward(
    x: Float[AnyArray, "m points"],
    mixing: Float[AnyArray, "outer columns inner"],
    max_frequency: int,
    outer: int,
) -> tuple[Float[jax.Array, "columns//2 points"], _Residuals]:
    outer_products, inner_products, cos, sin = _half_products(x, outer, max_frequency)
    terms = mixing.reshape(-1, mixing.shape[-1]) @ inner_products
    terms = terms.reshape(*mixing.shape[:2], -1)
    z = _contract(terms, outer_products)
    n = mixing.shape[1] // 2
    return _materialize(cos * z[:n] + sin * z[n:]), (x, mixing, terms)


def _contract(
    terms: Float[AnyArray, "outer columns points"],
    outer_products: Float[AnyArray, "outer points"],
) -> Float[jax.Array, "columns points"]:
    return functools.reduce(jnp.add, [t * p for t, p in zip(terms, outer_products, strict=True)])


def _series_backward(
    max_frequency: int, outer: int, residuals: _Residuals, g: Float[jax.Array, "n points"]
) -> tuple[Float[jax.Array, "m points"], Float[jax.Array, "outer columns inner"]]:
    x, mixing, terms = residuals
    m, n = x.shape[0], mixing.shape[1] // 2
    outer_products, inner_products, cos, sin = _half_products(x, outer, max_frequency)
    z = _contract(terms, outer_products)
    cos_g, sin_g = cos * g, sin * g
    d_terms = outer_products[:, None, None] * jnp.stack([cos_g, sin_g])
    d_terms = d_terms.reshape(-1, x.shape[-1])
    d_mixing = (d_terms @ inner_products.T).reshape(mixing.shape)
    d_inner: Any = mixing.reshape(-1, mixing.shape[-1]).T @ d_terms
    d_outer = functools.reduce(
        jnp.add, [terms[:, j] * cos_g[j] + terms[:, n + j] * sin_g[j] for j in range(n)]
    )
    d_phase = max_frequency * _exact_matmul(
        np.ones((m, n), x.dtype), g * (cos * z[n:] - sin * z[:n])
    )
    d_theta = (
        d_phase
        + _phase_gradient(outer_products, d_outer, range(outer), m, max_frequency)
        + _phase_gradient(inner_products, d_inner, range(outer, m), m, max_frequency)
    )
    return math.pi * d_theta, d_mixing


_series.defvjp(_series_forward, _series_backward)
