"""The train loop: dispatch many steps, look at the loss, write it down, save."""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from tqdm import tqdm

from dfm_flax import cluster
from dfm_flax.errors import GO_ON, DfmError, UsageError
from dfm_flax.signals import stop_requests
from dfm_flax.training.checkpoints import Checkpoints, History
from dfm_flax.training.profiling import Profile
from dfm_flax.training.side_by_side import SideBySide
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import Step, first_replica, make_train_steps, replicate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """When the loop does what, in steps.

    Attributes:
      num_steps: length of the run.
      log_every: steps a dispatch; after each the mean loss is fetched and logged.
      checkpoint_every: steps between checkpoints, a multiple of `log_every`. The last
        step is always saved.
    """

    num_steps: int
    log_every: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        if min(self.num_steps, self.log_every, self.checkpoint_every) < 1:
            raise UsageError("num_steps, log_every and checkpoint_every must be at least 1")
        if self.num_steps >= 2**31:
            raise UsageError(f"num_steps={self.num_steps} is more than 32 bits count")
        if self.checkpoint_every % self.log_every:
            raise UsageError(
                f"checkpoint_every={self.checkpoint_every} is not a multiple of "
                f"log_every={self.log_every}"
            )


class Interrupted(DfmError):
    """The run was asked to stop by a signal; it has saved a checkpoint.

    The exit code of SIGTERM, by which clusters take a machine away, is `GO_ON`.
    """

    def __init__(self, number: signal.Signals, step: int):
        super().__init__(
            f"stopped by {number.name} at step {step}, saved; the same command goes on"
        )
        self.exit_code = GO_ON if number == signal.SIGTERM else 128 + number


@dataclass(frozen=True)
class Progress:
    """What the loop tells `on_log`.

    Attributes:
      step: steps done.
      metrics: means since the last call, by name; "loss" among them. Each is one number, or of
        many models trained at once one for each.
      steps_per_second: since the last call.
      seconds: since the last call, by what they were spent on: steps, log and checkpoint.
      state: replicated over the devices; the next dispatch takes its memory away.
    """

    step: int
    metrics: Mapping[str, Float[np.ndarray, "*machines"]]
    steps_per_second: float
    seconds: Mapping[str, float]
    state: Any


def train(
    step: Step,
    state: TrainState,
    feed: Any,
    schedule: Schedule,
    checkpoints: Checkpoints | SideBySide,
    *,
    names: Sequence[str] = (),
    curve: str = "loss",
    on_log: Callable[[Progress], dict[str, str]] = lambda progress: {},
    profile: Profile | None = None,
) -> tuple[TrainState, History]:
    """Trains until `schedule.num_steps`, from the newest checkpoint if there is one.

    In a run of several processes all call this, and take the same steps; process 0 alone
    restores, saves and logs. They have parted when it returns.

    Args:
      step: of one model, or of many at once (`training.step.over_machines`).
      state: the initial state, one replica.
      feed: what `step` draws its batches from, one replica; see `training.feed.Feed`.
      names: of many models trained at once, for messages.
      curve: the metric that the training curve is made of.
      on_log: called by process 0 after each dispatch; what it returns is shown in the
        progress bar.
      profile: of process 0, if one is wanted.

    Returns:
      The final state as NumPy arrays, and the training curve: in process 0 from the first step on.

    Raises:
      DfmError: a loss or a parameter became infinite or NaN. The last good checkpoint stays.
      Interrupted: SIGINT or SIGTERM came to this process or another; the state was saved first.
    """
    writes = cluster.is_writer()
    state, history = _resume(state, checkpoints)
    start = done = int(state.step)
    if start >= schedule.num_steps:
        cluster.part()
        return state, history
    train_steps = make_train_steps(step)
    state, feed = replicate(state), replicate(feed)
    if cluster.num_processes() > 1:
        state, *_ = train_steps(state, feed, np.int32(0))  # compiles, before they meet
    # Shown on a terminal only: in a file it would be noise between the log's lines.
    bar = tqdm(
        total=schedule.num_steps,
        initial=start,
        unit="step",
        dynamic_ncols=True,
        disable=None if writes else True,
    )
    spent = dict.fromkeys(("steps", "log", "checkpoint"), 0.0)
    with bar, stop_requests() as requested:
        while done < schedule.num_steps and not _agreed(requested()):
            count = min(schedule.log_every - done % schedule.log_every, schedule.num_steps - done)
            if profile is not None:
                profile.before_dispatch(done)
            with _timed(spent, "steps"):
                state, means, first_bad, finite = train_steps(state, feed, np.int32(count))
                metrics = {name: np.asarray(mean) for name, mean in means.items()}
            if curve not in metrics:
                raise UsageError(
                    f"the loss gives the metrics {', '.join(metrics)}, and lacks {curve!r}"
                )
            done += count
            _check_finite(np.asarray(first_bad), bool(finite), done, names, checkpoints)
            if not writes:
                continue
            progress = Progress(done, metrics, count / spent["steps"], spent.copy(), state)
            history.append((done, np.atleast_1d(metrics[curve]).tolist()))
            spent = dict.fromkeys(spent, 0.0)
            with _timed(spent, "log"):
                bar.set_postfix(on_log(progress), refresh=False)
                bar.update(count)
            if done % schedule.checkpoint_every == 0:
                with _timed(spent, "checkpoint"):
                    checkpoints.save(done, first_replica(state), history)
        if profile is not None:
            profile.end()
        state = first_replica(state)
        if writes:
            checkpoints.save(done, state, history)
            checkpoints.wait()
        stop = _agreed(requested())
        cluster.part()
    if stop:
        raise Interrupted(stop, done)
    return state, history


@contextlib.contextmanager
def _timed(spent: dict[str, float], what: str) -> Iterator[None]:
    clock = time.perf_counter()
    yield
    spent[what] += time.perf_counter() - clock


def _agreed(request: signal.Signals | None) -> signal.Signals | None:
    """The same in all processes, which must stop at the same step: a request to any of them."""
    number = cluster.largest(request or 0)
    return signal.Signals(number) if number else None


def _resume(state: TrainState, checkpoints: Checkpoints | SideBySide) -> tuple[TrainState, History]:
    """All processes go on from what process 0 finds, though they may see other files."""
    history: History = []
    if cluster.is_writer() and (restored := checkpoints.restore_newest(state)):
        state, history = restored
        log.warning("resumed from the checkpoint of step %d", state.step)
    return cluster.from_writer(state), history


def _check_finite(
    first_bad: Integer[np.ndarray, "*machines"],
    finite: bool,
    done: int,
    names: Sequence[str],
    checkpoints: Checkpoints | SideBySide,
) -> None:
    if finite and (first_bad < 0).all():
        return
    if cluster.is_writer():
        checkpoints.wait()
    cluster.part()
    bad = [
        f"{name} at step {step}"
        for name, step in zip(
            [f"loss of {name}" for name in names] or ["loss"], np.atleast_1d(first_bad), strict=True
        )
        if step >= 0
    ]
    what = ", ".join(bad) or f"a weight at or before step {done}"
    kept = checkpoints.newest_step() if cluster.is_writer() else None
    kept_text = (
        "no checkpoint was due yet" if kept is None else f"the checkpoint of step {kept} is kept"
    )
    raise DfmError(
        f"{what} is not finite: training diverged; {kept_text}. "
        "Try a smaller --config.optimizer.learning_rate in a new --workdir"
    )
