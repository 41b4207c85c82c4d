"""The train loop: dispatch many steps, look at the loss, write it down, save."""

import contextlib
import dataclasses
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Integer
from tqdm import tqdm

from dfm_flax import cluster
from dfm_flax.errors import GO_ON, DfmError, UsageError
from dfm_flax.signals import stop_requests
from dfm_flax.training.checkpoints import Checkpoints, History
from dfm_flax.training.feeding import Feeding, opened
from dfm_flax.training.placement import Placement, Replicated
from dfm_flax.training.profiling import Profile
from dfm_flax.training.side_by_side import SideBySide
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import Step, make_train_steps

log = logging.getLogger(__name__)

_SPENT_ON = ("steps", "input", "log", "checkpoint")

_Means = dict[str, Float[np.ndarray, "*machines"]]


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
      seconds: since the last call, by what they were spent on: steps, waits for input, log and
        checkpoint.
      state: on the devices; the next dispatch takes its memory away.
      whole: the state as NumPy arrays, after steps that `looks` names; the optimizer's may lack.
    """

    step: int
    metrics: Mapping[str, Float[np.ndarray, "*machines"]]
    steps_per_second: float
    seconds: Mapping[str, float]
    state: Any
    whole: TrainState | None = None


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
    looks: Callable[[int], bool] = lambda step: False,
    placement: Placement | None = None,
    profile: Profile | None = None,
) -> tuple[TrainState, History]:
    """Trains until `schedule.num_steps`, from the newest checkpoint if there is one.

    In a run of several processes all call this, and take the same steps; process 0 alone
    logs, and restores and saves what each has whole. They have parted when it returns.

    Args:
      step: of one model, or of many at once (`training.step.over_machines`).
      state: the initial state, one replica.
      feed: what `step` draws its batches from, one replica, see `training.feed.Feed`; or a
        `training.feeding.Stream` of these.
      names: of many models trained at once, for messages.
      curve: the metric that the training curve is made of.
      on_log: called by process 0 after each dispatch; what it returns is shown in the
        progress bar.
      looks: after which steps `on_log` asks for the whole state; the same in all processes.
      placement: of the state on the devices; a copy on each if None.
      profile: of process 0, if one is wanted.

    Returns:
      The final state as NumPy arrays, and the training curve: in process 0 from the first step on.

    Raises:
      DfmError: a loss or a parameter became infinite or NaN. The last good checkpoint stays.
      Interrupted: SIGINT or SIGTERM came to this process or another; the state was saved first.
    """
    writes = cluster.is_writer()
    placement = placement or Replicated()
    saving = writes or placement.needs_all
    state, history = _resume(placement.part(state), checkpoints, placement.needs_all)
    start = done = int(state.step)
    if start >= schedule.num_steps:
        state = placement.whole(state)
        cluster.part()
        return state, history
    train_steps = make_train_steps(step)
    state = placement.put(state)
    # Shown on a terminal only: in a file it would be noise between the log's lines.
    bar = tqdm(
        total=schedule.num_steps,
        initial=start,
        unit="step",
        dynamic_ncols=True,
        disable=None if writes else True,
    )
    spent = dict.fromkeys(_SPENT_ON, 0.0)
    with bar, stop_requests() as requested, opened(feed, start) as feeding:
        if cluster.num_processes() > 1:
            state, *_ = train_steps(
                state, feeding.example, np.int32(0)
            )  # compiles, before they meet
        while done < schedule.num_steps and not _agreed(requested()):
            count = min(schedule.log_every - done % schedule.log_every, schedule.num_steps - done)
            if profile is not None:
                profile.before_dispatch(done)
            state, metrics, first_bad, finite = _take(train_steps, state, feeding, count, spent)
            if curve not in metrics:
                raise UsageError(
                    f"the loss gives the metrics {', '.join(metrics)}, and lacks {curve!r}"
                )
            done += count
            _check_finite(first_bad, finite, done, names, checkpoints)
            saves, looked_at = done % schedule.checkpoint_every == 0, looks(done)
            part = whole = None
            if (saves or looked_at) and saving:
                # To look at it, without the optimizer's state, which is the larger part.
                part = placement.get(state if saves else dataclasses.replace(state, opt_state=()))
                whole = placement.whole(part) if looked_at else None
            if writes:
                speed = count / (spent["steps"] + spent["input"])
                progress = Progress(done, metrics, speed, spent.copy(), state, whole)
                history.append((done, np.atleast_1d(metrics[curve]).tolist()))
                spent = dict.fromkeys(spent, 0.0)
                with _timed(spent, "log"):
                    bar.set_postfix(on_log(progress), refresh=False)
                    bar.update(count)
            if saves and part is not None:
                with _timed(spent, "checkpoint"):
                    checkpoints.save(done, part, history)
        if profile is not None:
            profile.end()
        state = placement.get(state)
        if saving:
            checkpoints.save(done, state, history)
            checkpoints.wait()
        stop = _agreed(requested())
        if not stop:
            state = placement.whole(state)
        cluster.part()
    if stop:
        raise Interrupted(stop, done)
    return state, history


def _take(
    train_steps: Callable[..., Any],
    state: Any,
    feeding: Feeding,
    count: int,
    spent: dict[str, float],
) -> tuple[Any, _Means, Integer[np.ndarray, "*machines"], bool]:
    """Takes so many steps, in as many dispatches as the feeds of these steps are.

    While one is under way the next feed comes to the devices; a third is not asked for, as it
    would need room there.

    Returns:
      The state, mean metrics, the first step whose loss is not finite (-1 if there is none) and
      whether all parameters are finite.
    """
    clock, waited, left = time.perf_counter(), 0.0, count
    parts: list[tuple[Any, ...]] = []  # of each dispatch: steps, and what it tells
    while left:
        if len(parts) > 1:
            jax.block_until_ready(parts[-2])
        asked = time.perf_counter()
        feed, num = feeding.next(left)
        if not parts or _is_done(parts[-1]):
            waited += time.perf_counter() - asked  # in which the devices had nothing to do
        state, *told = train_steps(state, feed, np.int32(num))
        parts.append((num, *told))
        left -= num
    metrics = _mean([(num, means) for num, means, *_ in parts])
    first_bad = np.asarray(parts[0][2])
    for _, _, found, _ in parts[1:]:
        first_bad = np.where(first_bad < 0, np.asarray(found), first_bad)
    finite = all(bool(finite) for *_, finite in parts)
    spent["input"] += waited
    spent["steps"] += time.perf_counter() - clock - waited
    return state, metrics, first_bad, finite


def _is_done(part: Any) -> bool:
    leaves: list[Any] = [leaf for leaf in jax.tree.leaves(part) if isinstance(leaf, jax.Array)]
    return all(leaf.is_ready() for leaf in leaves)


def _mean(parts: Sequence[tuple[int, Mapping[str, Any]]]) -> _Means:
    """The metrics of many steps from those of fewer, each with their number."""
    if len(parts) == 1:
        return {name: np.asarray(mean) for name, mean in parts[0][1].items()}
    total = sum(num for num, _ in parts)
    sums = {
        name: sum(num * np.asarray(means[name], np.float64) for num, means in parts)
        for name in parts[0][1]
    }
    return {name: np.asarray(value / total, np.float32) for name, value in sums.items()}


@contextlib.contextmanager
def _timed(spent: dict[str, float], what: str) -> Iterator[None]:
    clock = time.perf_counter()
    yield
    spent[what] += time.perf_counter() - clock


def _agreed(request: signal.Signals | None) -> signal.Signals | None:
    """The same in all processes, which must stop at the same step: a request to any of them."""
    number = cluster.largest(request or 0)
    return signal.Signals(number) if number else None


def _resume(
    part: TrainState, checkpoints: Checkpoints | SideBySide, needs_all: bool
) -> tuple[TrainState, History]:
    """All processes go on from what process 0 finds, though they may see other files.

    Where each has a part only, each finds its own, and all of the same checkpoint.
    """
    history: History = []
    if (cluster.is_writer() or needs_all) and (restored := checkpoints.restore_newest(part)):
        part, history = restored
        if cluster.is_writer():
            log.warning("resumed from the checkpoint of step %d", part.step)
    return (part if needs_all else cluster.from_writer(part)), history


def _check_finite(
    first_bad: Integer[np.ndarray, "*machines"],
    finite: bool,
    done: int,
    names: Sequence[str],
    checkpoints: Checkpoints | SideBySide,
) -> None:
    if finite and (first_bad < 0).all():
        return
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
