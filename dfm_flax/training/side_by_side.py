"""Checkpoints of several runs whose machines are trained as one stacked state."""

from collections.abc import Sequence
from typing import Any

from dfm_flax.errors import DfmError
from dfm_flax.training.checkpoints import Checkpoints, History
from dfm_flax.training.state import TrainState


class SideBySide:
    """To `training.loop.train` the checkpoints of one run; each run gets its own part of them.

    So each can go on with or without the others, and be looked at as any run.

    Args:
      runs: the checkpoints of each.
      parts: which of the machines are its own, in their order.
    """

    def __init__(self, runs: Sequence[Checkpoints], parts: Sequence[slice]):
        self._runs = list(zip(runs, parts, strict=True))

    def save(self, step: int, state: TrainState, history: History) -> None:
        """See `Checkpoints.save`."""
        for checkpoints, part in self._runs:
            own = [(at, losses[part]) for at, losses in history]
            checkpoints.save(step, state.machines(part), own)

    def restore_newest(self, template: TrainState) -> tuple[Any, History] | None:
        """The state that all runs are at, or None where there is none yet.

        Raises:
          DfmError: as `Checkpoints.restore_newest`, or the runs are at different steps.
        """
        found = [run.restore_newest(template.machines(part)) for run, part in self._runs]
        restored = [pair for pair in found if pair is not None]
        if not restored:
            return None
        steps = {int(state.step) for state, _ in restored}
        if len(steps) > 1 or len(restored) < len(found):
            raise DfmError(f"runs at different steps cannot go on side by side: {sorted(steps)}")
        states, histories = zip(*restored, strict=True)
        history = [
            (entries[0][0], [loss for _, losses in entries for loss in losses])
            for entries in zip(*histories, strict=True)
        ]
        return TrainState.concatenate(states), history

    def newest_step(self) -> int | None:
        """See `Checkpoints.newest_step`; of the run that is least far."""
        steps = [run.newest_step() for run, _ in self._runs]
        return min((step for step in steps if step is not None), default=None)

    def wait(self) -> None:
        """See `Checkpoints.wait`."""
        for run, _ in self._runs:
            run.wait()
