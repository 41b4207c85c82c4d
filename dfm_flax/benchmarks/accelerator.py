"""What an accelerator makes of Fourier machines: the case `accelerator` of `dfm bench`.

Precisions are those of matrix products; phases and their cosines stay float32. "matmul" is the
device's peak in practice at each of them, timed in the same rounds.
"""

import functools
from typing import Any

import jax
import numpy as np

from dfm_flax.benchmarks.contenders import Contender, gradient
from dfm_flax.benchmarks.speed import Row
from dfm_flax.benchmarks.timing import MATMUL_FLOPS, MATMUL_SIZE, take_turns
from dfm_flax.config import load_config
from dfm_flax.fourier import FourierMachine
from dfm_flax.generation.feed import ImageFeed
from dfm_flax.generation.generator import ImageShape, make_generator
from dfm_flax.generation.train import initial_state, make_generation_step
from dfm_flax.models.machine import make_machine
from dfm_flax.models.rendering import render
from dfm_flax.training.performance import OPERATIONS
from dfm_flax.training.state import num_parameters
from dfm_flax.training.step import make_train_steps, replicate

PRECISIONS = ("float32", "bfloat16")
_POSITIONS = (65_536, 1_048_576)
_BASES: dict[str, dict[str, Any]] = {
    "full": {"basis": "full", "max_frequencies": 1},
    "additive": {"basis": "additive", "max_frequencies": 1},
}
_GENERATORS = ("cifar10_best", "imagenet64")
_STEPS_A_DISPATCH = (1, 10, 100)


def is_there() -> bool:
    """Whether JAX sees anything but CPUs."""
    return jax.default_backend() != "cpu"


def accelerator(rounds: int) -> list[Row]:
    """Layers of both bases, steps of generators, and decoding, at both precisions."""
    return [*layers(rounds), *generation_steps(rounds), *decoding(rounds)]


def layers(rounds: int) -> list[Row]:
    """Value and gradient of machines of depth 6 and width 8."""
    rows = []
    for positions in _POSITIONS:
        contenders, flops = {}, {}
        keys = jax.random.split(jax.random.PRNGKey(0), 3)
        x = jax.random.uniform(keys[0], (positions, 2))
        target = jax.random.uniform(keys[1], (positions, 3), minval=-1.0)
        for basis, settings in _BASES.items():
            machine = FourierMachine(6, 8, 3, variances=1e-2, **settings)
            params = machine.init(keys[2], x[:1])["params"]
            for precision in PRECISIONS:
                name = f"{basis}, {precision}"
                with jax.default_matmul_precision(precision):
                    contenders[name], _ = gradient(machine, params, x, target)
                flops[name] = OPERATIONS * num_parameters(params) * positions
        rows += _compared("layers", {"positions": positions}, contenders, flops, rounds)
    return rows


def generation_steps(rounds: int) -> list[Row]:
    """Steps of whole configs, on all local devices, at their batch for each of them."""
    rows = []
    for name in _GENERATORS:
        contenders, flops, per_call = {}, {}, {}
        for precision in PRECISIONS:
            for steps in _STEPS_A_DISPATCH:
                contender = f"{precision}, {steps} a dispatch"
                contenders[contender], images, operations = _steps(name, precision, steps)
                flops[contender], per_call[contender] = operations, images
        for row in _compared(name, {}, contenders, flops, rounds):
            if row["contender"] in per_call:
                row["images_per_second"] = per_call[row["contender"]] / row["seconds"]
            rows.append(row)
    return rows


def _steps(name: str, precision: str, steps: int) -> tuple[Contender, int, int]:
    """So many steps, and the images and operations of all of them."""
    config = load_config(name)
    config.training.precision = {"float32": "highest", "bfloat16": "default"}[precision]
    config.training.batch_size = 128 * jax.local_device_count()
    side = 64 if config.data.size == 64 else 32
    shape = ImageShape(side, side, 3)
    model = make_generator(config, shape)
    state, order = initial_state(model, config, shape, 4096)
    images = np.random.default_rng(0).integers(0, 256, (4096, side, side, 3), np.uint8)
    batch = config.training.batch_size
    feed = replicate(ImageFeed(images, order, batch, config.model.latent_size))
    train_steps = make_train_steps(make_generation_step(model, config))
    held = {"state": replicate(state)}

    def call() -> object:
        held["state"], *told = train_steps(held["state"], feed, np.int32(steps))
        return told

    products = model.num_products(num_parameters(state.params), shape)
    return call, steps * batch, OPERATIONS * products * steps * batch


def decoding(rounds: int) -> list[Row]:
    """An image of 768 x 512 pixels from a machine of about 21,600 weights."""
    machine = make_machine(load_config("compress_best:21600").model.machine, 3)
    params = machine.init(jax.random.PRNGKey(0), jax.numpy.zeros((1, 2)))["params"]
    contenders: dict[str, Contender] = {
        "float32": functools.partial(render, machine, params, 512, 768)
    }
    flops = {"float32": 2 * num_parameters(params) * 512 * 768}
    return _compared("decoding", {"positions": 512 * 768}, contenders, flops, rounds)


def _compared(
    case: str, sizes: Row, contenders: dict[str, Contender], flops: dict[str, int], rounds: int
) -> list[Row]:
    """Rows of contenders that take turns, with their share of the peak at their precision."""
    products = {f"matmul, {precision}": _product(precision) for precision in PRECISIONS}
    times = take_turns(contenders | products, rounds, title=case)
    rows = []
    for name, timing in times.items():
        row = {"case": f"accelerator {case}", **sizes, "contender": name}
        row |= {"seconds": timing.median, "fastest": timing.fastest, "slowest": timing.slowest}
        row["gflops"] = flops.get(name, MATMUL_FLOPS) / timing.median / 1e9
        if name in flops:
            precision = "bfloat16" if "bfloat16" in name else "float32"
            peak = MATMUL_FLOPS / times[f"matmul, {precision}"].median / 1e9
            row["percent_of_peak"] = 100 * row["gflops"] / peak
        rows.append(row)
    return rows


def _product(precision: str) -> Contender:
    matrix = jax.random.normal(jax.random.PRNGKey(0), (MATMUL_SIZE, MATMUL_SIZE))
    with jax.default_matmul_precision(precision):
        product = jax.jit(lambda a: a @ a).lower(matrix).compile()
    return lambda: product(matrix)
