"""How fast Fourier machines are, beside the textbook's form, PyTorch and the machine's peak.

Useful work is counted as the textbook's products: 2 operations for each weight and position,
and as many again for each of the two gradients, in the weights and in the argument. "matmul"
is the machine's peak in practice: a large float32 matrix product, timed in the same rounds.
Every function here is one case: it returns a row for each contender, with the seconds of a
call and `ratio`, the contender's time over ours.
"""

import functools
from typing import Any

import jax
from jaxtyping import Float

from dfm_flax.benchmarks.contenders import (
    Contender,
    gradient,
    many_steps,
    python_loop,
    torch_decoder,
    torch_gradients,
)
from dfm_flax.benchmarks.textbook import TextbookMachine
from dfm_flax.benchmarks.timing import MATMUL_FLOPS, matmul, take_turns
from dfm_flax.config import load_config
from dfm_flax.fourier import FourierMachine, num_weights
from dfm_flax.models.machine import make_machine
from dfm_flax.models.rendering import render
from dfm_flax.typing import Params

OURS = "ours"
DISPATCHED = 500  # steps of a call of `dispatch`
Row = dict[str, Any]


def layers(rounds: int) -> list[Row]:
    """Value and gradient of one machine of depth 6 and width 8 at 4,096 and 65,536 positions."""
    rows = []
    for positions in (4_096, 65_536):
        weights = num_weights(6, 8)
        machine, x, target, params = _example(6, 8, positions)
        ours = {
            OURS: gradient(machine, params, x, target),
            "ours by XLA": gradient(machine, params, x, target, xla=True),
            "textbook, Flax": gradient(TextbookMachine(6, 8), params, x, target),
        }
        contenders = {name: call for name, (call, _) in ours.items()}
        contenders |= torch_gradients(params, weights, x, target)
        case = _compare(
            "layers", {"positions": positions}, contenders, rounds, 6 * weights * positions
        )
        for row in case:
            if row["contender"] in ours:
                row["temporaries_mb"] = ours[row["contender"]][1] / 1e6
        rows += case
    return rows


def generation(rounds: int) -> list[Row]:
    """Value and gradient of 64 machines with coefficients of their own at 28 x 28 positions."""
    images, positions, shape = 64, 28 * 28, (4, 6, 1)
    machine, x, _, _ = _example(*shape[:2], positions, channels=1)
    keys = jax.random.split(jax.random.PRNGKey(0), images)
    params = jax.vmap(lambda key: machine.init(key, x[:1])["params"])(keys)
    target = jax.random.uniform(keys[0], (images, positions, 1), minval=-1.0)
    contenders = {
        OURS: gradient(machine, params, x, target, many=True)[0],
        "ours by XLA": gradient(machine, params, x, target, many=True, xla=True)[0],
        "textbook, Flax": gradient(TextbookMachine(*shape), params, x, target, many=True)[0],
    }
    flops = 6 * num_weights(*shape) * images * positions
    return _compare(
        "generation", {"machines": images, "positions": positions}, contenders, rounds, flops
    )


def dispatch(rounds: int) -> list[Row]:
    """Steps of Adam on 64 pixels, the thesis's batch: in one dispatch, one each, and a plain loop.

    Of machines of 3,471 and, as in the thesis, 21,546 weights.
    """
    num_steps, batch = DISPATCHED, 64
    found = []
    for depth, width in ((6, 6), (4, 9)):
        machine, x, target, _ = _example(depth, width, 160_000)
        contenders = {
            OURS: many_steps(machine, batch, num_steps, x, target),
            "a dispatch a step": many_steps(
                machine, batch, num_steps, x, target, dispatches=num_steps
            ),
            "Python loop": python_loop(machine, batch, num_steps, x, target),
        }
        sizes = {"weights": num_weights(depth, width), "positions": batch}
        for row in _compare("dispatch", sizes, contenders, rounds):
            if "ratio" in row:
                found.append(row | {"steps_per_second": num_steps / row["seconds"]})
    return found


def decoding(rounds: int) -> list[Row]:
    """An image of 768 x 512 pixels from machines of about 3,500, 10,000 and 21,600 weights."""
    rows = []
    for weights in (3_500, 10_000, 21_600):
        best = make_machine(load_config(f"compress_best:{weights}").model.machine, 3)
        params = best.init(jax.random.PRNGKey(0), jax.numpy.zeros((1, 2)))["params"]
        contenders: dict[str, Contender] = {
            OURS: functools.partial(render, best, params, 512, 768),
            **torch_decoder(weights, 512, 768),
        }
        flops = 2 * weights * 512 * 768
        rows += _compare("decoding", {"weights": weights}, contenders, rounds, flops)
    return rows


def scaling(rounds: int) -> list[Row]:
    """Value and gradient over positions, width and depth, one at a time."""
    shapes = [(6, 8, 10**exponent) for exponent in range(3, 8)]
    shapes += [(6, width, 4_096) for width in range(2, 11)]
    shapes += [(depth, 8, 4_096) for depth in (2, 4, 8, 12, 16)]
    rows = []
    for depth, width, positions in shapes:
        machine, x, target, params = _example(depth, width, positions)
        call, temporaries = gradient(machine, params, x, target)
        flops = 6 * num_weights(depth, width) * positions
        case = {"depth": depth, "width": width, "positions": positions}
        (row, _) = _compare("scaling", case, {OURS: call}, rounds, flops)
        rows.append(
            row
            | {
                "nanoseconds_per_position": 1e9 * row["seconds"] / positions,
                "temporaries_mb": temporaries / 1e6,
            }
        )
    return rows


CASES = {case.__name__: case for case in (layers, generation, dispatch, decoding, scaling)}


def _example(
    depth: int, width: int, positions: int, channels: int = 3
) -> tuple[
    FourierMachine,
    Float[jax.Array, "{positions} 2"],
    Float[jax.Array, "{positions} {channels}"],
    Params,
]:
    """A machine, random positions and colors for it, and its initial parameters."""
    machine = FourierMachine(depth, width, channels, variances=1e-4)
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    x = jax.random.uniform(keys[0], (positions, 2))
    target = jax.random.uniform(keys[1], (positions, channels), minval=-1.0)
    return machine, x, target, machine.init(keys[2], x[:1])["params"]


def _compare(
    case: str, sizes: Row, contenders: dict[str, Contender], rounds: int, flops: int = 0
) -> list[Row]:
    """Rows of contenders that take turns; with `flops`, of useful work a call, its speed."""
    title = f"{case} {' '.join(map(str, sizes.values()))}"
    times = take_turns(contenders | {"matmul": matmul()}, rounds, title=title)
    peak = MATMUL_FLOPS / times["matmul"].median
    rows = []
    for name, timing in times.items():
        row = {"case": case, **sizes, "contender": name, "seconds": timing.median}
        row |= {"fastest": timing.fastest, "slowest": timing.slowest}
        if name == "matmul":
            row["gflops"] = peak / 1e9
        else:
            row["ratio"] = timing.median / times[OURS].median
            if flops:
                per_second = flops / timing.median
                row |= {"gflops": per_second / 1e9, "percent_of_peak": 100 * per_second / peak}
        rows.append(row)
    return rows
