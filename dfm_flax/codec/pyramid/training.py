"""Training of a machine over a pyramid of grids, for one image.

It minimizes D + lambda R: D the mean squared error of colors in [0, 1], R the bits per pixel of
the grids under the distributions that the context machine predicts, and of what both machines add
to their start. The grids' numbers are first softly rounded, under noise (Kim et al., "C3:
High-performance and low-complexity neural compression from a single image or video", 2023); in
the last part they are rounded, and the machines alone go on.

For a wanted rate or quality, lambda is steered: now and then the grids are really rounded, and
log lambda moves by what rate or distortion is off.
"""

import contextlib
import dataclasses
import functools
import hashlib
import math
from pathlib import Path
from typing import Any, Literal

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int32, PRNGKeyArray, UInt32

from dfm_flax.codec.pyramid.geometry import Grids, Matrices, Pyramid, values_at
from dfm_flax.codec.pyramid.network import Network, Weights
from dfm_flax.codec.pyramid.rate import soft_round
from dfm_flax.codec.pyramid.weights import estimated_bits
from dfm_flax.data.images import Image
from dfm_flax.training.checkpoints import Checkpoints
from dfm_flax.training.loop import Progress, Schedule
from dfm_flax.training.loop import train as train_loop
from dfm_flax.training.losses import Loss, Metrics, Scalar
from dfm_flax.training.soap import scale_by_soap
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import Step, make_step
from dfm_flax.typing import AnyArray, Count

_LOG_EVERY, _CHECKPOINT_EVERY = 50, 500
_CHECKPOINT_VERSION = 3

_ROUNDED = 0.1  # the last part of training, in which the grids are rounded
_TEMPERATURES = 0.35, 0.08  # of the soft rounding, at its start and its end
_NOISES = 0.22, 0.15  # standard deviation
_ANNEALED = 0.75  # the part of the steps under noise in which both come to their end
_CORRECTED_FROM = 0.6  # the part of training that all targets of an image share

_WEIGHTS_RATE = 0.01  # learning rate of the machines
_ROUNDED_WEIGHTS_RATE = 0.002  # when the grids are rounded, falling to 0
_WARMUP = 300  # steps, or a tenth of all
_GRID_RATE, _MAX_GRID_RATE = 0.077, 0.11  # of cells of four pixels; half or twice of the next
_GAINS = 0.5, 2.0  # between which grids learn in the unit of colors; beyond, in that many units
_LAST_GRID_RATE = 0.01  # relative, so that lambda has a say to the end
_CLIP = 0.1  # norm of the machines' gradient

_STEERED = 0.2, 0.98  # from and to which part of the steps under noise
# Of the rate over that in the end, for the same lambda, by the part of training that is left:
_EXCESS = 0.08, 0.12  # linear, cubic
_STEER_EVERY = 0.015  # part of the steps under noise, so that short trainings are steered as often
_STEER = 0.8  # change of log lambda for a rate that is off by a factor of e
_MAX_STEER = 0.25


@dataclasses.dataclass(frozen=True)
class Target:
    """What lambda is steered for: one of these, or neither.

    Attributes:
      bits: of the grids of the whole image and, about, of the weights.
      mse: of colors in [0, 1].
    """

    bits: float | None = None
    mse: float | None = None

    @property
    def of(self) -> "Wanted":
        return "bits" if self.bits is not None else "mse" if self.mse is not None else None

    @property
    def value(self) -> float:
        return self.bits or self.mse or 0.0

    def times(self, factor: float) -> "Target":
        return Target(self.bits and factor * self.bits, self.mse and factor * self.mse)


Wanted = Literal["bits", "mse"] | None  # what a `Target` is of


@flax.struct.dataclass
class Batch:
    """The image and the noise of one step.

    Attributes:
      colors: [C, H, W] in [0, 1].
      matrices: of all pixels.
      start: weights that a file has the differences from.
      gain: what a unit of the grids stands for.
      target: bits or mean squared error.
      key: of the noise, one a device.
      step: steps done.
    """

    colors: Float[AnyArray, "channels height width"]
    matrices: Matrices
    start: Weights
    gain: Float[AnyArray, ""]
    target: Float[AnyArray, ""]
    key: UInt32[AnyArray, "own 2"]
    step: Int32[AnyArray, "own"]


@flax.struct.dataclass
class ImageFeed:
    """The whole image at every step, with other noise on each device.

    Attributes:
      colors: in [0, 1].
      matrices: of all pixels, `Matrices`.
      start, gain, target: see `Batch`.
    """

    colors: Float[AnyArray, "*devices channels height width"]
    matrices: Any
    start: Weights
    gain: Float[AnyArray, "*devices"]
    target: Float[AnyArray, "*devices"]

    def draw(
        self, rng: PRNGKeyArray, step: Count
    ) -> tuple[UInt32[jax.Array, "devices 2"], Int32[jax.Array, "devices"]]:
        """A key a device, and the step."""
        keys = jax.random.split(rng, jax.device_count())
        return keys, jnp.full(len(keys), step, jnp.int32)

    def at(self, drawn: tuple[UInt32[AnyArray, "own 2"], Int32[AnyArray, "own"]]) -> Batch:
        """The image, and that key."""
        return Batch(self.colors, self.matrices, self.start, self.gain, self.target, *drawn)


@flax.struct.dataclass
class Trained:
    """What training leaves.

    Attributes:
      weights: of the network.
      grids: rounded.
      trade_off: lambda.
    """

    weights: Weights
    grids: Grids
    trade_off: float


def rate_distortion_loss(network: Network, under_noise: int, wanted: Wanted) -> Loss:
    """D + lambda R of params {"weights", "grids", "log_lambda"} at a `Batch`.

    The grids are trained in about the unit of colors, so that a rate of learning is right for each
    lambda; in units of `gain` they are rounded.

    Args:
      under_noise: steps before the grids are rounded.
      wanted: what lambda is steered for.
    """

    def of(weights: Weights, grids: Grids, batch: Batch) -> tuple[Scalar, Scalar]:
        numbers = network.values(grids, batch.gain)
        picture = network.picture(weights, values_at(numbers, batch.matrices))
        bits = network.bits(weights, grids) + estimated_bits(network, weights, batch.start)
        return jnp.mean((picture - batch.colors) ** 2), bits

    def in_units(params: Any, batch: Batch) -> Grids:
        return _in_units(network, params["grids"], batch.gain)

    def off(params: Any, batch: Batch) -> Scalar:
        """How much too large log R or log D is, of rounded grids; 0 on most steps."""
        if wanted is None:
            return jnp.zeros(())

        def measured() -> Scalar:
            mse, bits = of(params["weights"], _rounded(in_units(params, batch)), batch)
            if wanted == "bits":
                left = 1 - batch.step[0] / under_noise
                expected = 1 + _EXCESS[0] * left + _EXCESS[1] * left**3
                return jnp.log(bits / (expected * batch.target))
            return jnp.log(batch.target / mse)

        begin, end = (part * under_noise for part in _STEERED)
        step, every = batch.step[0], max(1, round(_STEER_EVERY * under_noise))
        due = (step % every == every - 1) & (step >= begin) & (step < end)
        result: Scalar = jax.lax.cond(due, measured, lambda: jnp.zeros(()))
        return result

    def loss(params: Any, batch: Batch, rng: PRNGKeyArray) -> tuple[Scalar, Metrics]:
        del rng  # the same on all devices
        progress = batch.step[0] / under_noise
        grids = in_units(params, batch)
        noisy = _noisy(grids, batch.key[0], progress)
        grids = jax.tree.map(
            lambda rounded, noisy: jnp.where(progress < 1, noisy, rounded),
            _rounded(jax.lax.stop_gradient(grids)),
            noisy,
        )
        mse, bits = of(params["weights"], grids, batch)
        pixels = batch.colors.shape[1] * batch.colors.shape[2]
        trade_off = jnp.exp(jax.lax.stop_gradient(params["log_lambda"]))
        value = mse + trade_off * bits / pixels
        steer = jnp.clip(jax.lax.stop_gradient(off(params, batch)), -1.0, 1.0)
        # Adds nothing; its gradient is what log lambda moves against.
        value -= steer * (params["log_lambda"] - jax.lax.stop_gradient(params["log_lambda"]))
        return value, {"mse": mse, "bpp": bits / pixels, "lambda": trade_off}

    return loss


def train(
    image: Image,
    network: Network,
    pyramid: Pyramid,
    start: Weights,
    gain: float,
    trade_off: float,
    target: Target,
    num_steps: int,
    folder: Path,
    seed: int = 0,
    corrected: Target | None = None,
) -> Trained:
    """Trains, or goes on with the same call that was interrupted.

    Args:
      start: weights to begin with, which a file has the differences from.
      gain: what a unit of the grids stands for.
      trade_off: lambda at the start.
      num_steps: in all.
      folder: for checkpoints.
      corrected: what the last part is trained for instead of `target`. A first part that is in
        `folder` is not trained again.
    """
    step, optimizer = _step(network, pyramid, target.of, num_steps)
    colors = np.ascontiguousarray(image.pixels.transpose(2, 0, 1), np.float32)
    matrices = pyramid.at_pixels()
    start = {name: np.array(array, np.float32) for name, array in start.items()}
    params: Any = {
        "weights": start,
        "grids": tuple(np.zeros(shape, np.float32) for shape in pyramid.shapes),
        "log_lambda": np.float32(math.log(trade_off)),
    }
    state = TrainState.create(np.asarray(jax.random.PRNGKey(seed)), params, optimizer)
    settings = network, pyramid, start, gain, trade_off, target, num_steps, seed
    folder = folder / _identity(image, *settings)
    corrected = corrected or target
    shared = max(1, round(_CORRECTED_FROM * num_steps))
    own = f"{corrected.of}-{corrected.value}"
    for part, aim, end in [("shared", target, shared), (own, corrected, num_steps)]:
        numbers = np.asarray(gain, np.float32), np.asarray(aim.value, np.float32)
        with contextlib.closing(Checkpoints(folder / part, 1)) as checkpoints:
            state, _ = train_loop(
                step,
                jax.tree.map(np.asarray, state),
                ImageFeed(colors, matrices, start, *numbers),
                Schedule(end, _LOG_EVERY, _CHECKPOINT_EVERY),
                checkpoints,
                names=[image.name],
                on_log=_shown,
            )
    params = state.params
    grids = _in_units(network, params["grids"], np.asarray(gain, np.float32))
    return Trained(
        params["weights"],
        tuple(np.rint(np.asarray(grid)) for grid in grids),
        float(np.exp(params["log_lambda"])),
    )


@functools.lru_cache(maxsize=2)
def _step(
    network: Network, pyramid: Pyramid, wanted: Wanted, num_steps: int
) -> tuple[Step, optax.GradientTransformation]:
    """One step, and its optimizer: kept, so that all trainings alike are compiled once."""
    under_noise = num_steps - round(_ROUNDED * num_steps)
    optimizer = _optimizer(pyramid, under_noise, num_steps)
    loss = rate_distortion_loss(network, under_noise, wanted)
    return make_step(loss, optimizer), optimizer


def _shown(progress: Progress) -> dict[str, str]:
    metrics = progress.metrics
    return {
        "psnr": f"{-10 * math.log10(float(metrics['mse'])):.2f} dB",
        "bpp": f"{float(metrics['bpp']):.3f}",
    }


def _noisy(grids: Grids, key: UInt32[AnyArray, "2"], progress: float | Scalar) -> Grids:
    annealed = jnp.minimum(progress / _ANNEALED, 1.0)
    temperature, noise = (
        first + (last - first) * annealed for first, last in (_TEMPERATURES, _NOISES)
    )
    keys = jax.random.split(key, len(grids))
    return jax.lax.optimization_barrier(
        tuple(
            soft_round(
                soft_round(grid, temperature) + noise * jax.random.normal(key, grid.shape),
                temperature,
            )
            for grid, key in zip(grids, keys, strict=True)
        )
    )


def _rounded(grids: Grids) -> Grids:
    return jax.lax.optimization_barrier(tuple(jnp.round(grid) for grid in grids))


def _optimizer(pyramid: Pyramid, under_noise: int, num_steps: int) -> optax.GradientTransformation:
    warmup = min(_WARMUP, num_steps // 10)
    weights = optax.join_schedules(
        [
            optax.warmup_cosine_decay_schedule(
                0.0,
                _WEIGHTS_RATE,
                warmup,
                under_noise,
                _ROUNDED_WEIGHTS_RATE,
            ),
            optax.linear_schedule(_ROUNDED_WEIGHTS_RATE, 0.0, max(1, num_steps - under_noise)),
        ],
        [under_noise],
    )

    def of_grid(exponent: int) -> optax.GradientTransformation:
        falling = optax.cosine_decay_schedule(_grid_rate(exponent), under_noise, _LAST_GRID_RATE)
        schedule = optax.join_schedules([falling, optax.constant_schedule(0.0)], [under_noise])
        # Gradients in one number of many are small: the usual eps would be as large.
        adam = optax.scale_by_adam(0.9, 0.99, eps=1e-16)
        return optax.chain(adam, optax.scale_by_learning_rate(schedule))

    return optax.multi_transform(
        {
            # SOAP: for equal steps 5% less D + lambda R than by Adam, on a smooth image.
            "weights": optax.chain(
                optax.clip_by_global_norm(_CLIP),
                scale_by_soap(0.9, 0.99, refresh_every=10),
                optax.scale_by_learning_rate(weights),
            ),
            "log_lambda": optax.chain(optax.scale(-_STEER), optax.clip(_MAX_STEER)),
            **{f"grid {i}": of_grid(i) for i in pyramid.exponents},
        },
        {
            "weights": "weights",
            "grids": tuple(f"grid {i}" for i in pyramid.exponents),
            "log_lambda": "log_lambda",
        },
    )


def _in_units(network: Network, grids: Grids, gain: Float[AnyArray, ""]) -> Grids:
    """The numbers of grids that are learned in about the unit of colors."""
    learned = jnp.clip(gain, *_GAINS)
    return tuple(grid / (learned * unit) for unit, grid in zip(network.units, grids, strict=True))


def _grid_rate(exponent: int) -> float:
    """The learning rate of a grid: the finer it is, the more numbers move at once."""
    return min(_MAX_GRID_RATE, _GRID_RATE * 2.0 ** (exponent - 2))


def _identity(image: Image, *settings: Any) -> str:
    # What checkpoints hold has changed with this number: older ones are left alone.
    sha = hashlib.sha256(f"{_CHECKPOINT_VERSION}{image.pixels.shape}".encode())
    sha.update(image.pixels.tobytes())
    for setting in settings:
        if isinstance(setting, dict):
            for name, array in setting.items():
                sha.update(f"{name}".encode() + np.asarray(array).tobytes())
        else:
            sha.update(repr(setting).encode())
    return sha.hexdigest()[:16]
