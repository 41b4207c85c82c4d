"""Evaluation of a low-frequency Fourier series of several variables.

One layer of a Deep Fourier Machine is the series

    y = sum_k  a_k cos(2 pi k.x) + b_k sin(2 pi k.x),      k in {0, .., F}^m

of K = (F+1)^m frequencies. Calling K cosines a position is never needed. With
theta_i = pi x_i, and frequencies centred by g_i = 2 k_i - F,

    exp(2 pi i k.x) = exp(i F sum_i theta_i) * prod_i exp(i g_i theta_i),

and each factor of the product is a combination of F+1 *real* functions of one
coordinate: cos(g theta), sin(g theta) for g = F, F-2, .. >= 0. So the series is

    y = cos(S) sum_t alpha_t T_t(x) + sin(S) sum_t beta_t T_t(x),   S = F sum_i theta_i,

where the T_t are the K real tensor products of those functions and alpha, beta
are linear in a, b (for F = 1 a signed Walsh-Hadamard transform, done once a
step, not once a position). Halving the coordinates, T_t = T_p T_q, the sum over
q is one dense matrix product of exactly the textbook's useful work, 2 x 2K x n
operations a position, and the sum over the few p is a short contraction. The K
features of a position are never written to memory.

Layout: inside this file positions are the last axis, so that every elementwise
operation runs along contiguous memory.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

# Coordinates whose products are contracted position by position; the others go
# through the matrix product. Two kept the stored intermediate smallest at equal speed.
_MAX_OUTER_COORDINATES = 2

# Chebyshev fits, in z = r^2 for |r| <= 1/2, of sin(pi r)/r and cos(pi r);
# the largest error in float32 is 2e-7.
_SIN_PI = (3.14159274, -5.16771269, 2.55016327, -0.599252224, 0.0820504054, -0.00702838646)
_COS_PI = (1.0, -4.93480206, 4.05871201, -1.3352623, 0.235325441, -0.0257763285, 0.00184000412)


def num_coefficients(in_features: int, max_frequency: int = 1) -> int:
    """Rows of a layer's coefficients: 2 (F+1)^m - 1, as sin(0) carries nothing."""
    return 2 * (max_frequency + 1) ** in_features - 1


def frequencies(in_features: int, max_frequency: int = 1) -> np.ndarray:
    """The frequencies k in the order of the coefficients: [(F+1)^m, m], last coordinate fastest."""
    axes = [np.arange(max_frequency + 1)] * in_features
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, in_features)


def num_additive_coefficients(in_features: int, max_frequency: int = 1) -> int:
    """Rows of the coefficients of an additive series: 2 m F + 1."""
    return 2 * in_features * max_frequency + 1


def additive_fourier_series(
    x: jax.Array, coefficients: jax.Array, max_frequency: int = 1
) -> jax.Array:
    """The Fourier series over the frequencies that are not zero in one coordinate only.

        y = a_0 + sum_i sum_{f=1..F} a_if cos(2 pi f x_i) + b_if sin(2 pi f x_i)

    Of the (F+1)^m frequencies of `fourier_series` it keeps the m F on the axes, so the
    weights grow with m and not with 2^m, and a layer can be wide.

    Args:
      x: arguments [..., m], in periods.
      coefficients: [2 m F + 1, n]: a_0, then the a_if of all coordinates for f = 1, those for
        f = 2, .., then the b_if in the same order.
      max_frequency: F >= 1.

    Returns:
      Values [..., n] in the common dtype of the arguments.

    Raises:
      ValueError: the coefficients do not fit the number of coordinates and F.
    """
    m = x.shape[-1]
    if coefficients.shape[0] != num_additive_coefficients(m, max_frequency):
        raise ValueError(
            f"an additive series of {m} coordinates with frequencies up to {max_frequency} has "
            f"{num_additive_coefficients(m, max_frequency)} rows of coefficients, "
            f"not {coefficients.shape[0]}"
        )
    dtype = jnp.result_type(x, coefficients)
    weights = coefficients.astype(dtype).T
    y = _additive(x.reshape(-1, m).T.astype(dtype), weights[:, 1:], max_frequency)
    return (y + weights[:, :1]).T.reshape(*x.shape[:-1], coefficients.shape[-1])


def additive_frequencies(in_features: int, max_frequency: int = 1) -> np.ndarray:
    """0 and the frequencies f e_i on the axes, in the order of an additive series: [m F + 1, m]."""
    axes = [f * np.eye(in_features, dtype=int) for f in range(1, max_frequency + 1)]
    return np.concatenate([np.zeros((1, in_features), int), *axes])


def fourier_series(x: jax.Array, coefficients: jax.Array, max_frequency: int = 1) -> jax.Array:
    """The Fourier series of `coefficients` at `x`.

    Args:
      x: arguments [..., m], in periods: the series has period 1 in every coordinate.
      coefficients: [2 (F+1)^m - 1, n]: the a_k of all `frequencies`, then the
        b_k of all but k = 0.
      max_frequency: F >= 1; F = 1 is the thesis's layer.

    Returns:
      Values [..., n] in the common dtype of the arguments.

    Raises:
      ValueError: the coefficients do not fit the number of coordinates and F.
    """
    m = x.shape[-1]
    if coefficients.shape[0] != num_coefficients(m, max_frequency):
        raise ValueError(
            f"a series of {m} coordinates with frequencies up to {max_frequency} has "
            f"{num_coefficients(m, max_frequency)} rows of coefficients, "
            f"not {coefficients.shape[0]}"
        )
    dtype = jnp.result_type(x, coefficients)
    outer = min(_MAX_OUTER_COORDINATES, m // 2)
    mixing = _tensor_product_coefficients(coefficients.astype(dtype), m, outer, max_frequency)
    y = _series(x.reshape(-1, m).T.astype(dtype), mixing, max_frequency, outer)
    return y.T.reshape(*x.shape[:-1], coefficients.shape[-1])


# --- coefficients of the real tensor products -------------------------------------------------


def _factor_frequencies(max_frequency: int) -> list[int]:
    """The g of the functions of one coordinate, each cos(g theta), then sin(g theta) if g > 0."""
    return list(range(max_frequency, -1, -2))


def _factor_matrix(max_frequency: int) -> np.ndarray:
    """M[t, k] with exp(i (2k - F) theta) = sum_t M[t, k] B_t(theta); complex [F+1, F+1]."""
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
def _real_transform(coordinates: int, max_frequency: int) -> np.ndarray:
    """The Kronecker power of `_factor_matrix` acting on (real, imaginary): [2, T, 2, K]."""
    matrix = np.ones((1, 1), complex)
    for _ in range(coordinates):
        matrix = np.kron(matrix, _factor_matrix(max_frequency))
    real, imaginary = matrix.real, matrix.imag
    return np.stack([np.stack([real, -imaginary], 1), np.stack([imaginary, real], 1)])


def _tensor_product_coefficients(coefficients, m: int, outer: int, max_frequency: int):
    """(alpha, beta) as the matrix [P, 2n, Q] that maps the T_q to the terms of each T_p."""
    n, count = coefficients.shape[-1], (max_frequency + 1) ** m
    a = coefficients[:count]
    b = jnp.concatenate([jnp.zeros((1, n), a.dtype), coefficients[count:]])
    w = jnp.stack([a, -b]).reshape(2, (max_frequency + 1) ** outer, -1, n)
    precision = jax.lax.Precision.HIGHEST
    transform = _real_transform(outer, max_frequency).astype(a.dtype)
    u = jnp.einsum("csdp,dpqn->csqn", transform, w, precision=precision)
    # y = Re(exp(iS) Z) = cos(S) Re Z - sin(S) Im Z, so the imaginary part changes its sign.
    transform = np.array([1, -1])[:, None, None, None] * _real_transform(m - outer, max_frequency)
    u = jnp.einsum("ctdq,dsqn->scnt", transform.astype(a.dtype), u, precision=precision)
    return u.reshape(u.shape[0], 2 * n, u.shape[-1])


# --- the series at many positions, value and gradient ----------------------------------------


def _sin_cos_pi(x):
    """sin(pi x), cos(pi x). The reduction to half a period is exact, also for large x."""
    nearest = jnp.round(x)
    r = x - nearest
    sign = 1 - 2 * (nearest - 2 * jnp.floor(nearest / 2))
    if x.dtype == jnp.float64:
        return sign * jnp.sin(np.pi * r), sign * jnp.cos(np.pi * r)
    z = r * r
    return sign * r * _polynomial(_SIN_PI, z), sign * _polynomial(_COS_PI, z)


def _polynomial(coefficients, z):
    return functools.reduce(lambda value, c: value * z + c, coefficients[-2::-1], coefficients[-1])


def _factors(x, max_frequency: int):
    """The F+1 functions of each coordinate: a list of [m, P] arrays."""
    sin, cos = _sin_cos_pi(x)
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


def _tensor_products(factors, coordinates: range):
    """All products of one function of each coordinate: [(F+1)^len(coordinates), P]."""
    products = jnp.ones((1, factors[0].shape[-1]), factors[0].dtype)
    for i in reversed(coordinates):
        products = jnp.concatenate([products * f[i] for f in factors])
    return products


def _phase_gradient(products, cotangent, coordinates: range, m: int, max_frequency: int):
    """The gradient of sum(products * cotangent) in theta: [m, P], zero outside `coordinates`.

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


def _exact_matmul(constant, x):
    return jnp.matmul(constant, x, precision=jax.lax.Precision.HIGHEST)


def _materialize(x):
    """Keep the compiler from computing `x` again in each of its consumers.

    XLA's CPU backend drops optimization barriers before it fuses, and fuses whole
    layers into one loop that evaluates them many times over (8 times slower for six
    layers). It never fuses through a matrix product; one with the identity is exact.
    """
    if jax.default_backend() == "cpu":
        return _exact_matmul(np.eye(x.shape[0], dtype=x.dtype), x)
    return jax.lax.optimization_barrier(x)


def _half_products(x, outer: int, max_frequency: int):
    """T_p, T_q and cos, sin of the common phase S = F sum_i pi x_i."""
    factors = _factors(x, max_frequency)
    sin, cos = _sin_cos_pi(max_frequency * functools.reduce(jnp.add, list(x)))
    coordinates = range(x.shape[0])
    return (
        _tensor_products(factors, coordinates[:outer]),
        _tensor_products(factors, coordinates[outer:]),
        cos,
        sin,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _series(x, mixing, max_frequency, outer):
    """x [m, P], mixing [(F+1)^outer, 2n, (F+1)^(m-outer)] -> y [n, P]."""
    return _series_forward(x, mixing, max_frequency, outer)[0]


def _series_forward(x, mixing, max_frequency, outer):
    outer_products, inner_products, cos, sin = _half_products(x, outer, max_frequency)
    terms = mixing.reshape(-1, mixing.shape[-1]) @ inner_products
    terms = terms.reshape(*mixing.shape[:2], -1)
    z = _contract(terms, outer_products)
    n = mixing.shape[1] // 2
    return _materialize(cos * z[:n] + sin * z[n:]), (x, mixing, terms)


def _contract(terms, outer_products):
    return functools.reduce(jnp.add, [t * p for t, p in zip(terms, outer_products, strict=True)])


def _series_backward(max_frequency, outer, residuals, g):
    x, mixing, terms = residuals
    m, n = x.shape[0], mixing.shape[1] // 2
    outer_products, inner_products, cos, sin = _half_products(x, outer, max_frequency)
    z = _contract(terms, outer_products)
    cos_g, sin_g = cos * g, sin * g
    d_terms = outer_products[:, None, None] * jnp.stack([cos_g, sin_g])
    d_terms = d_terms.reshape(-1, x.shape[-1])
    d_mixing = (d_terms @ inner_products.T).reshape(mixing.shape)
    d_inner = mixing.reshape(-1, mixing.shape[-1]).T @ d_terms
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


# --- additive series ---------------------------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _additive(x, weights, max_frequency):
    """x [m, P], weights [n, 2 m F] -> y [n, P]."""
    return _additive_forward(x, weights, max_frequency)[0]


def _additive_forward(x, weights, max_frequency):
    sin, cos = _sin_cos_pi(2 * x)
    harmonics = [(cos, sin)]
    for _ in range(1, max_frequency):
        c, s = harmonics[-1]
        harmonics.append((c * cos - s * sin, c * sin + s * cos))
    features = jnp.concatenate([c for c, _ in harmonics] + [s for _, s in harmonics])
    return weights @ features, (features, weights)


def _additive_backward(max_frequency, residuals, g):
    features, weights = residuals
    d_features = weights.T @ g
    cos, sin = jnp.split(features, 2)
    d_cos, d_sin = jnp.split(d_features, 2)
    terms = (cos * d_sin - sin * d_cos).reshape(max_frequency, -1, g.shape[-1])
    d_x = functools.reduce(jnp.add, [f * term for f, term in enumerate(terms, start=1)])
    return 2 * math.pi * d_x, g @ features.T


_additive.defvjp(_additive_forward, _additive_backward)
