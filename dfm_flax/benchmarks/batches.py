"""What a batch of images costs: the draw of its indices, gathering and scaling.

    python -m dfm_flax.benchmarks.batches

Each is measured as training runs it, many steps in one compiled loop, on one device; best of
several loops. The alternative is `jax.random.permutation`: once an epoch, its cost is spread
over the epoch's batches here (in a run it would come at once and need a place in the state).
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int32, PRNGKeyArray, Shaped, UInt8

from dfm_flax.data.shuffling import shuffled_batch
from dfm_flax.typing import AnyArray, Count

_SETS = (("MNIST", 70_000, 64, (28, 28, 1)), ("CIFAR-10", 60_000, 512, (32, 32, 3)))
_STEPS, _LOOPS = 200, 15


def microseconds_per_step(
    step: Callable[..., Shaped[jax.Array, "..."]], *data: Shaped[jax.Array, "..."]
) -> float:
    """Time of `step(key, i, *data)`, which returns an array, in a compiled loop."""

    @jax.jit
    def loop(
        key: PRNGKeyArray, num_steps: Int32[AnyArray, ""], *data: Shaped[jax.Array, "..."]
    ) -> Shaped[jax.Array, "batch ..."]:
        made = jax.eval_shape(lambda: step(key, 0, *data))
        start = jnp.zeros(made.shape, made.dtype)
        return jax.lax.fori_loop(0, num_steps, lambda i, _: step(key, i, *data), start)

    return _best(lambda key: loop(key, np.int32(_STEPS), *data)) / _STEPS


def _best(call: Callable[[PRNGKeyArray], Shaped[jax.Array, "..."]]) -> float:
    """Microseconds of the fastest call; the first compiles."""
    times = []
    for seed in range(_LOOPS + 1):
        key = jax.random.PRNGKey(seed)
        start = time.perf_counter()
        call(key).block_until_ready()
        times.append(time.perf_counter() - start)
    return min(times[1:]) * 1e6


def main() -> None:
    print(f"device: {jax.devices()[0].device_kind}; microseconds a batch")
    for name, count, size, shape in _SETS:
        images = jax.random.bits(jax.random.PRNGKey(1), (count, *shape), jnp.uint8)

        def draw(
            key: PRNGKeyArray, i: Count, count: int = count, size: int = size
        ) -> Int32[jax.Array, "{size}"]:
            return shuffled_batch(key, i, count, size)

        def draw_colors(
            key: PRNGKeyArray,
            i: Count,
            images: UInt8[jax.Array, "images height width channels"],
            draw: Callable[..., Int32[jax.Array, "batch"]] = draw,
        ) -> Float32[jax.Array, "batch height width channels"]:
            return images[draw(key, i)].astype(jnp.float32) / 127.5 - 1

        def draw_with_replacement(
            key: PRNGKeyArray, i: Count, count: int = count, size: int = size
        ) -> Int32[jax.Array, "{size}"]:
            return jax.random.randint(jax.random.fold_in(key, i), (size,), 0, count)

        permute = jax.jit(lambda key, count=count: jax.random.permutation(key, count))
        epoch = _best(permute)
        times = {
            "shuffled_batch": microseconds_per_step(draw),
            "the same, gathered and scaled": microseconds_per_step(draw_colors, images),
            "randint, with replacement": microseconds_per_step(draw_with_replacement),
            f"permutation, {epoch / 1e3:.1f} ms an epoch": epoch * size / count,
        }
        print(f"{name}: {size} of {count:,} images {' x '.join(map(str, shape))}")
        for what, microseconds in times.items():
            print(f"  {what:40}{microseconds:8.1f}")


if __name__ == "__main__":
    main()
