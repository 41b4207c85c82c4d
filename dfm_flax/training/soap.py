"""SOAP: Adam in the slowly turning eigenbasis of Shampoo's preconditioners.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024 (arXiv:2409.11321).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, Int32

from dfm_flax.typing import AnyArray, Count

Matrix: TypeAlias = Float[AnyArray, "..."]  # or a parameter of another rank, which stays as it is
# Of a parameter, a square array for each of its two axes; None where there is none.
Squares: TypeAlias = tuple[
    Float[AnyArray, "_rows _rows"] | None, Float[AnyArray, "_columns _columns"] | None
]


class SoapState(NamedTuple):
    """State of `scale_by_soap`; all but `count` are trees like the parameters.

    Attributes:
      count: updates done.
      mu: running mean of the gradients, in the eigenbases.
      nu: running mean of their squares there.
      covariances: of each matrix, one running mean G G^T for each preconditioned axis.
      bases: their approximate eigenvectors, as columns.
    """

    count: Int32[AnyArray, ""]  # type: ignore[assignment]  # hides tuple.count, as in all of optax
    mu: optax.Updates
    nu: optax.Updates
    covariances: optax.Updates
    bases: optax.Updates


def scale_by_soap(
    b1: float | Float[AnyArray, ""] = 0.9,
    b2: float | Float[AnyArray, ""] = 0.99,
    shampoo_decay: float = 0.95,
    eps: float = 1e-8,
    refresh_every: int = 10,
    max_size: int = 1024,
) -> optax.GradientTransformationExtraArgs:
    """SOAP's direction for matrices [rows, columns]; Adam's for parameters of another rank.

    Axes longer than `max_size` are left in the standard basis. Every `refresh_every`
    updates, one step of orthogonal iteration turns the bases toward the eigenvectors.

    Under `jax.vmap` over many models, give `update` the number of updates done so far,
    not mapped, as the extra argument `step`: the state's own counter would be mapped, and
    then `lax.cond` would compute the refresh on every step.
    """

    def init(params: optax.Params) -> SoapState:
        return SoapState(
            jnp.zeros((), jnp.int32),
            jax.tree.map(jnp.zeros_like, params),
            jax.tree.map(jnp.zeros_like, params),
            jax.tree.map(lambda p: _square(p, max_size, jnp.zeros), params),
            jax.tree.map(
                lambda p: _square(p, max_size, lambda s, d: jnp.eye(s[0], dtype=d)), params
            ),
        )

    def update(
        updates: optax.Updates,
        state: SoapState,
        params: optax.Params | None = None,
        *,
        step: Count | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, SoapState]:
        del params, extra_args
        step = state.count if step is None else step
        count = step + 1
        gradients, tree = _flatten(updates)
        covariances = [
            _accumulate(g, c, shampoo_decay)
            for g, c in zip(gradients, tree.flatten_up_to(state.covariances), strict=True)
        ]
        # The mean is kept in the eigenbases too: it turns when they do, not at every step.
        bases, means = jax.lax.cond(
            step % refresh_every == 0,
            lambda bases, means: _refresh_all(covariances, bases, means),
            lambda bases, means: (bases, means),
            tree.flatten_up_to(state.bases),
            tree.flatten_up_to(state.mu),
        )
        turned = tree.unflatten([_turn(g, b) for g, b in zip(gradients, bases, strict=True)])
        mu = optax.tree.update_moment(turned, tree.unflatten(means), b1, 1)
        nu = optax.tree.update_moment(turned, state.nu, b2, 2)
        scale1, scale2 = 1 / (1 - b1**count), 1 / (1 - b2**count)
        directions = [
            _turn_back(scale1 * m / (jnp.sqrt(scale2 * v) + eps), b)
            for m, v, b in zip(jax.tree.leaves(mu), jax.tree.leaves(nu), bases, strict=True)
        ]
        state = SoapState(
            state.count + 1, mu, nu, tree.unflatten(covariances), tree.unflatten(bases)
        )
        return tree.unflatten(directions), state

    return optax.GradientTransformationExtraArgs(init, update)


def soap(
    learning_rate: optax.ScalarOrSchedule, **options: Any
) -> optax.GradientTransformationExtraArgs:
    """`scale_by_soap(**options)` with a learning rate, to be minimized.

    Each parameter's update is cut to a root mean square of the learning rate: where gradients
    suddenly grow, second moments lag behind, and one step too large would be the end.
    """
    return optax.chain(
        scale_by_soap(**options),
        optax.clip_by_block_rms(1.0),
        optax.scale_by_learning_rate(learning_rate),
    )


def _flatten(tree: optax.Updates) -> tuple[list[Matrix], Any]:
    return jax.tree.flatten(tree)


def _square(
    p: Matrix, max_size: int, make: Callable[[tuple[int, int], Any], Float[jax.Array, "n n"]]
) -> Squares:
    """One [size, size] array for each axis of a matrix, None for axes that are too long."""
    if p.ndim != 2:
        return None, None
    left, right = (make((size, size), p.dtype) if size <= max_size else None for size in p.shape)
    return left, right


def _accumulate(g: Matrix, covariances: Squares, decay: float) -> Squares:
    left, right = covariances
    if left is not None:
        left = decay * left + (1 - decay) * _matmul(g, g.T)
    if right is not None:
        right = decay * right + (1 - decay) * _matmul(g.T, g)
    return left, right


def _refresh_all(
    covariances: list[Squares], bases: list[Squares], means: list[Matrix]
) -> tuple[list[Squares], list[Matrix]]:
    new_bases = [_refresh(*pair) for pair in zip(covariances, bases, strict=True)]
    new_means = [
        _turn(_turn_back(mean, old), new)
        for mean, old, new in zip(means, bases, new_bases, strict=True)
    ]
    return new_bases, new_means


def _refresh(covariances: Squares, bases: Squares) -> Squares:
    left, right = (
        None if c is None or q is None else _orthonormalize(_matmul(c, q))
        for c, q in zip(covariances, bases, strict=True)
    )
    return left, right


# One after the other for many machines: jaxlib 0.10 gives the matrices of a batch to the threads of
# XLA's pool and waits for them on such a thread, so that several batches at once, of several
# layers, can hold all threads and wait for ever.
@jax.custom_batching.sequential_vmap  # type: ignore[untyped-decorator]
def _orthonormalize(columns: Float[jax.Array, "n n"]) -> Float[jax.Array, "n n"]:
    return jnp.linalg.qr(columns)[0]


def _turn(g: Matrix, bases: Squares) -> Matrix:
    left, right = bases
    g = g if left is None else _matmul(left.T, g)
    return g if right is None else _matmul(g, right)


def _turn_back(g: Matrix, bases: Squares) -> Matrix:
    left, right = bases
    g = g if left is None else _matmul(left, g)
    return g if right is None else _matmul(g, right.T)


def _matmul(
    a: Float[AnyArray, "rows inner"], b: Float[AnyArray, "inner columns"]
) -> Float[jax.Array, "rows columns"]:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
