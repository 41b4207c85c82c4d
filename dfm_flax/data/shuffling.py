"""Shuffled batches without state: the examples of any step follow from the key and the step.

An order that `jax.random.permutation` draws must be drawn whole, once an epoch and on each
device, and kept. Here the order of an epoch is a keyed bijection of the places in the epoch, a
Feistel network, of which just the places of a batch are computed.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int32, Integer, PRNGKeyArray, UInt32

from dfm_flax.typing import Count

MAX_EXAMPLES = 2**30  # sums of two of these fit an int32; so do batch sizes
# The smallest sets mix the slowest: of 6 examples, 700,000 orders show that 8 rounds do not make
# all orders equally likely; after 12, four times as many do not.
_ROUNDS = 12

_Array = TypeVar("_Array", np.ndarray, jax.Array)

# Examples, and whether each is one.
_Walk: TypeAlias = tuple[UInt32[jax.Array, "places"], Bool[jax.Array, "places"]]


def shuffled_batch(
    rng: PRNGKeyArray, step: Count, num_examples: int, batch_size: int
) -> Int32[jax.Array, "{batch_size}"]:
    """Indices of the examples of a step, each in [0, num_examples).

    The batches are cut, one after the other, from an endless stream of examples: its
    position p = step * batch_size + i holds, in epoch p // num_examples, the example in place
    p % num_examples of that epoch's order. Each epoch has every example once, in an order that
    follows from `rng` and the epoch alone; a batch may end one and begin the next. Nothing is
    kept, so a run that goes on at some step sees what it would have seen.

    All devices compute the whole batch (that is cheap) and take their part of it by
    `training.step.shard`: together they see each position of the stream once.

    Args:
      rng: the key of the run, the same at all steps and on all devices.
      step: not negative, and no more than an int32 holds.
      num_examples: at most 2^30.
      batch_size: at most 2^30; it may exceed `num_examples`.

    Raises:
      ValueError: a number is out of range.
    """
    if not (0 < num_examples <= MAX_EXAMPLES and 0 < batch_size <= MAX_EXAMPLES):
        raise ValueError(
            f"num_examples={num_examples} and batch_size={batch_size} must lie in 1..2^30"
        )
    epoch, place = _start(step, num_examples, batch_size)
    place = place + jnp.arange(batch_size)
    num_epochs = (num_examples + batch_size - 2) // num_examples + 1  # that a batch may meet
    keys = jax.vmap(lambda ahead: _round_keys(rng, epoch + ahead))(
        jnp.arange(num_epochs, dtype=jnp.uint32)
    )
    return _permuted(place % num_examples, keys[place // num_examples].T, num_examples)


def _start(
    step: Count, num_examples: int, batch_size: int
) -> tuple[UInt32[jax.Array, ""], Int32[jax.Array, ""]]:
    """Epoch (modulo 2^32) and place of step * batch_size, which may exceed 2^32.

    step = q * num_examples + r is multiplied by the bits of batch_size, from the highest on, and
    the places that exceed an epoch are carried over at each: nothing overflows.
    """
    step = jnp.asarray(step, jnp.int32)
    whole, rest = (step // num_examples).astype(jnp.uint32), step % num_examples
    epoch, place = jnp.zeros_like(whole), jnp.zeros_like(rest)
    for bit in f"{batch_size:b}":
        epoch, place = _carried(2 * epoch, 2 * place, num_examples)
        if bit == "1":
            epoch, place = _carried(epoch + whole, place + rest, num_examples)
    return epoch, place


def _carried(
    epoch: UInt32[jax.Array, ""], place: Int32[jax.Array, ""], num_examples: int
) -> tuple[UInt32[jax.Array, ""], Int32[jax.Array, ""]]:
    over = place >= num_examples
    return epoch + over.astype(jnp.uint32), jnp.where(over, place - num_examples, place)


def _round_keys(rng: PRNGKeyArray, epoch: UInt32[jax.Array, ""]) -> UInt32[jax.Array, "keys"]:
    return jax.random.bits(jax.random.fold_in(rng, epoch), (2 * _ROUNDS,), jnp.uint32)


def _permuted(
    place: Int32[jax.Array, "places"], keys: UInt32[jax.Array, "keys places"], num_examples: int
) -> Int32[jax.Array, "places"]:
    """The example in each place, by a bijection of [0, num_examples) for each column of keys.

    A Feistel network permutes pairs (left, right) of [0, a) x [0, b), ab >= num_examples; a
    pair that stands for no example is permuted again until one does (cycle walking), which keeps
    it a bijection. As a and b are near the root of num_examples, few pairs stand for none.

    Args:
      place: in the epoch.
      keys: two for each round.
      num_examples: of the epoch.
    """

    def walk(state: _Walk) -> _Walk:
        x, is_done = state
        x = jnp.where(is_done, x, _permuted_once(x, keys, num_examples))
        return x, x < num_examples

    start = place.astype(jnp.uint32), jnp.zeros(place.shape, bool)
    x, _ = jax.lax.while_loop(lambda state: ~state[1].all(), walk, start)
    return x.astype(jnp.int32)


def _permuted_once(x: _Array, keys: _Array, num_examples: int) -> _Array:
    a = math.isqrt(num_examples - 1) + 1
    # With a and b both odd, rounds would rotate cycles of odd length: even permutations only.
    b = 2 * -(-num_examples // (2 * a))
    left, right = x // b, x % b
    for left_key, right_key in zip(keys[::2], keys[1::2], strict=True):
        left = (left + _hashed(right, left_key)) % a
        right = (right + _hashed(left, right_key)) % b
    return left * b + right


def _hashed(x: _Array, key: _Array) -> _Array:
    """A random function of x, of 31 bits, chosen by the key: MurmurHash3's mix of both."""
    x = x ^ key
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return (x ^ (x >> 16)) >> 1  # room for a sum


@dataclass(frozen=True, eq=False)
class HostOrder:
    """The order of `shuffled_batch`, bit for bit, for processes that read examples from a disk.

    It needs NumPy alone, and is small when it is sent to another process.

    Attributes:
      keys: of each epoch, from the first on.
      num_examples: of an epoch.
    """

    keys: UInt32[np.ndarray, "epochs keys"]
    num_examples: int

    @classmethod
    def create(cls, rng: PRNGKeyArray, num_examples: int, num_positions: int) -> "HostOrder":
        """The order under a key, of the first positions of the stream."""
        epochs = jnp.arange(-(-num_positions // num_examples), dtype=jnp.uint32)
        keys = jax.vmap(lambda epoch: _round_keys(rng, epoch))(epochs)
        return cls(np.asarray(keys), num_examples)

    def __call__(self, positions: Integer[np.ndarray, "places"]) -> UInt32[np.ndarray, "places"]:
        """The example at each position of the stream; behind the last epoch it begins again."""
        keys = self.keys[positions // self.num_examples % len(self.keys)].T
        x = (positions % self.num_examples).astype(np.uint32)
        walking = np.arange(len(x))
        while len(walking):
            x[walking] = _permuted_once(x[walking], keys[:, walking], self.num_examples)
            walking = walking[x[walking] >= self.num_examples]
        return x
