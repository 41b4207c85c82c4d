"""Times that can be compared: contenders take turns in one process, medians are taken."""

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
from jaxtyping import Float32
from tqdm import tqdm


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median over the rounds, and the fastest and slowest."""

    median: float
    fastest: float
    slowest: float


def take_turns(
    contenders: dict[str, Callable[[], object]],
    rounds: int = 15,
    seconds: float = 60.0,
    title: str = "",
) -> dict[str, Timing]:
    """Calls each contender once a round, so that whatever else the machine does hits all alike.

    Args:
      contenders: functions that return when their work is done, or JAX arrays to wait for.
        Each is called twice first: it may compile.
      rounds: how many, at most.
      seconds: no round begins later than this, but there are at least three.
      title: of the progress bar.
    """
    for call in contenders.values():
        jax.block_until_ready(call())
        jax.block_until_ready(call())
    times: dict[str, list[float]] = {name: [] for name in contenders}
    begin = time.perf_counter()
    for i in tqdm(range(rounds), desc=title, leave=False, unit="round", disable=None):
        if i >= 3 and time.perf_counter() - begin > seconds:
            break
        # Each round starts with another contender: none always follows the same one.
        names = list(contenders)
        for name in itertools.chain(names[i % len(names) :], names[: i % len(names)]):
            clock = time.perf_counter()
            jax.block_until_ready(contenders[name]())
            times[name].append(time.perf_counter() - clock)
    return {
        name: Timing(statistics.median(taken), min(taken), max(taken))
        for name, taken in times.items()
    }


MATMUL_SIZE = 2048
MATMUL_FLOPS = 2 * MATMUL_SIZE**3


def matmul() -> Callable[[], Float32[jax.Array, "rows columns"]]:
    """A contender: a square float32 product of `MATMUL_FLOPS`, the machine's peak in practice."""
    matrix = jax.random.normal(jax.random.PRNGKey(0), (MATMUL_SIZE, MATMUL_SIZE))
    product = jax.jit(lambda a: a @ a)
    return lambda: product(matrix)
