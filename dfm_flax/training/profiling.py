"""A profile of some steps of a run."""

import logging
from pathlib import Path

import jax

log = logging.getLogger(__name__)


class Profile:
    """A trace of some steps, for TensorBoard's profiler, in `folder`/plugins/profile.

    It begins with the second dispatch, as the first may compile, and covers whole dispatches: at
    least `num_steps` steps, if the run has them.
    """

    def __init__(self, folder: Path, num_steps: int):
        self._folder, self._num_steps = folder, num_steps
        self._calls, self._begin = 0, -1

    def before_dispatch(self, done: int) -> None:
        """To be called when `done` steps are done and more follow."""
        self._calls += 1
        if self._calls == 2:
            self._begin = done
            jax.profiler.start_trace(str(self._folder))
        elif done - self._begin >= self._num_steps:
            self.end()

    def end(self) -> None:
        """Writes what was traced, if a trace is under way."""
        if self._begin >= 0:
            self._begin = -1
            jax.profiler.stop_trace()
            log.info("profile: tensorboard --logdir %s", self._folder)
