"""The thesis's config, the best config and a SIREN on the same image for the same wall time.

    python -m dfm_flax.benchmarks.equal_time IMAGE... --seconds 60 --weights 21600
    python -m dfm_flax.benchmarks.equal_time IMAGE... --seconds 60 --ablation

The contenders take turns of about a second in one process, so that whatever else the
machine does hits all of them alike. Compilation is not counted. Runs whose learning rate decays
are given as many steps as fit, found by timing them first. The SIREN is COIN's (Dupont et al.
2021: w0 = 30, Adam), with the best config's batches and a cosine decay from its best learning
rate. With --ablation the best config runs beside itself with one part each as in the thesis.
"""

import argparse
import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Float
from ml_collections import ConfigDict

from dfm_flax.baselines.siren import Siren, siren_num_weights
from dfm_flax.compression.losses import mse
from dfm_flax.config import load_config
from dfm_flax.data.images import prepare, read_image
from dfm_flax.data.positions import Target
from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path
from dfm_flax.fourier import FourierMachine, num_weights, vector_size, widest
from dfm_flax.metrics.distortion import psnr
from dfm_flax.models.machine import make_machine
from dfm_flax.models.rendering import render
from dfm_flax.outputs import Outputs
from dfm_flax.training.feed import PixelFeed
from dfm_flax.training.optimizers import make_optimizer
from dfm_flax.training.state import initial_states
from dfm_flax.training.step import (
    first_replica,
    make_step,
    make_train_steps,
    over_machines,
    replicate,
)
from dfm_flax.typing import Params

SIREN_LEARNING_RATES = (1.5e-3,)  # the best of 1.5e-3, 3e-3, 6e-3 on all that was tried
_TURN = 1.0  # seconds


@dataclass
class Contender:
    """One way to train, with its clock.

    `optimizer` is made for a number of steps, as its learning rate may decay over them.
    """

    name: str
    model: nn.Module
    optimizer: Callable[[int], optax.GradientTransformation]
    batch_size: int
    sampling: str
    steps: int = 0
    seconds: float = 0.0
    curve: list[tuple[float, float]] = field(default_factory=list)

    def start(self, num_steps: int, data: Target, seed: int) -> None:
        optimizer = self.optimizer(num_steps)
        self._train_steps = make_train_steps(over_machines(make_step(mse(self.model), optimizer)))
        feed = PixelFeed(data, self.batch_size, self.sampling == "stratified")
        self._feed = replicate(feed)
        start = initial_states(self.model, optimizer, [seed])
        self._train_steps(replicate(start), self._feed, np.int32(1))  # compiles
        self._state, self._end = replicate(start), num_steps
        self.steps, self.seconds, self.curve = 0, 0.0, []

    def turn(self, num_steps: int) -> None:
        count = min(num_steps, self._end - self.steps)
        clock = time.perf_counter()
        self._state, *others = self._train_steps(self._state, self._feed, np.int32(count))
        jax.block_until_ready((self._state, others))
        self.seconds += time.perf_counter() - clock
        self.steps += count

    @property
    def params(self) -> Params:
        return first_replica(self._state).params_of(0)

    def look(self, image: Float[np.ndarray, "height width channels"]) -> float:
        picture = np.rint(render(self.model, self.params, *image.shape[:2]) * 255) / 255
        quality = psnr(image, picture) if np.isfinite(picture).all() else float("nan")
        self.curve.append((round(self.seconds, 2), round(quality, 3)))
        return quality


def of_config(name: str, config: ConfigDict) -> Contender:
    """The contender that trains as a config says."""
    return Contender(
        name,
        make_machine(config.model.machine, 3),
        functools.partial(make_optimizer, config.optimizer),
        config.training.batch_size,
        config.training.sampling,
    )


def contenders(weights: int) -> list[Contender]:
    """The thesis's machine, the best one and SIRENs of at most `weights` weights."""
    thesis = load_config("compress")
    best = load_config(f"compress_best:{weights}")
    depth, width = min(
        ((d, w) for d in range(2, 30) for w in (6, 7, 8, 9) if num_weights(d, w) <= weights * 1.01),
        key=lambda shape: abs(weights - num_weights(*shape)),
    )
    thesis.model.machine.update(depth=depth, width=width)
    made = [of_config("thesis", thesis), of_config("best", best)]
    siren_width = max(w for w in range(2, 200) if siren_num_weights(5, w) <= weights * 1.01)
    for learning_rate in SIREN_LEARNING_RATES:
        made.append(
            Contender(
                f"siren {learning_rate:g}",
                Siren(5, siren_width),
                functools.partial(adam_cosine, learning_rate),
                best.training.batch_size,
                best.training.sampling,
            )
        )
    return made


def ablations(weights: int) -> list[Contender]:
    """The best config, and what is left of it with one part each as in the thesis."""
    best = load_config(f"compress_best:{weights}")

    def without(name: str, **changes: Any) -> Contender:
        config = best.copy_and_resolve_references().unlock()
        config.update_from_flattened_dict(changes)
        machine = config.model.machine
        machine.width = widest(weights, machine.depth, 3, machine.basis, machine.max_frequencies)
        return of_config(name, config)

    return [
        without("best"),
        without(
            "Adam, its best learning rate",
            **{"optimizer.name": "adam", "optimizer.learning_rate": 2e-3},
        ),
        without("uniform batches", **{"training.sampling": "uniform"}),
        without("batches of 640", **{"training.batch_size": 640}),
        without("constant learning rate", **{"optimizer.schedule": "constant"}),
        without(
            "all frequencies",
            **{
                "model.machine.basis": ("full",) * 3,
                "model.machine.max_frequencies": (8, 1, 1),
            },
        ),
        without("F = 1 in all layers", **{"model.machine.max_frequencies": (1, 1, 1)}),
        without(
            "variance 2e-5",
            **{"model.machine.normalize": False, "model.machine.variances": (2e-5, 2e-5, 2e-5)},
        ),
        without("residual", **{"model.machine.residual": True}),
        without("a whole period", **{"model.machine.extent": 1.0}),
    ]


def adam_cosine(learning_rate: float, num_steps: int) -> optax.GradientTransformation:
    warmup = min(100, num_steps // 10)
    return optax.adam(optax.warmup_cosine_decay_schedule(0, learning_rate, warmup, num_steps))


def count(model: nn.Module) -> int:
    if isinstance(model, FourierMachine):
        return vector_size(model)
    assert isinstance(model, Siren)
    return siren_num_weights(model.depth, model.width)


def pace(runners: list[Contender], data: Target) -> dict[str, float]:
    """Steps a second of each: the median over turns of about a second."""
    for runner in runners:
        runner.start(1_000_000, data, seed=0)
        runner.turn(max(1, 64_000 // runner.batch_size))
    paces: dict[str, list[float]] = {runner.name: [] for runner in runners}
    for _ in range(5):
        for runner in runners:
            steps, seconds = runner.steps, runner.seconds
            runner.turn(max(1, round(steps / seconds * _TURN)))
            paces[runner.name].append((runner.steps - steps) / (runner.seconds - seconds))
    return {name: statistics.median(each) for name, each in paces.items()}


def compare(source: str, runners: list[Contender], seconds: float, seed: int) -> dict[str, Any]:
    """Trains contenders on the center 400x400 of an image; returns their PSNR in dB."""
    image = prepare(read_image(source), crop=(400, 400)).pixels
    data = Target.stack([image])
    paces = pace(runners, data)
    for runner in runners:
        runner.start(max(1, int(paces[runner.name] * seconds)), data, seed)
    turns = round(seconds / _TURN)
    for i in range(1, turns + 1):
        for runner in runners:
            runner.turn(-(-runner._end // turns))
            if i % max(1, turns // 6) == 0 or i == turns:
                runner.look(image)
        line = "  ".join(f"{r.name} {r.curve[-1][1] if r.curve else 0:.2f}" for r in runners)
        print(f"\r{i}/{turns}  {line} dB", end="", file=sys.stderr)
    print(file=sys.stderr)
    return {
        "image": Path(source).stem,
        "budget_seconds": seconds,
        "seed": seed,
        "runs": [
            {
                "name": runner.name,
                "weights": count(runner.model),
                "steps": runner.steps,
                "seconds": round(runner.seconds, 1),
                "psnr": runner.curve[-1][1],
                "curve": runner.curve,
            }
            for runner in runners
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", help="files, at least 400x400, or sample:NAME")
    parser.add_argument("--weights", type=int, nargs="+", default=[21600, 3500])
    parser.add_argument("--seconds", type=float, default=60, help="of training, for each run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ablation", action="store_true", help="of the best config's parts")
    parser.add_argument("-o", "--out", metavar="FILE", help="JSON, of all results and curves")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    options = parser.parse_args()
    out = None
    try:
        if options.out:
            outputs = Outputs(options.out, options.overwrite, options.images)
            out = outputs.one("equal_time.json", {".json"})
    except UsageError as error:
        parser.error(str(error))
    results = []
    for weights in options.weights:
        for source in options.images:
            runners = (ablations if options.ablation else contenders)(weights)
            results.append(compare(source, runners, options.seconds, options.seed))
            runs = results[-1]["runs"]
            cells = [
                f"{run['name']} ({run['weights']}): {run['psnr']:.2f} dB in {run['seconds']} s"
                for run in runs
            ]
            print(f"{results[-1]['image']}: {'; '.join(cells)}", flush=True)
            if out:
                with atomic_path(out) as path:
                    path.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
