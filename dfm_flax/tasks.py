"""What a run is trained for: the tasks, and what the commands ask of each."""

import abc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.errors import UsageError
from dfm_flax.outputs import Outputs
from dfm_flax.registry import Registry, import_path


class Task(abc.ABC):
    """A task: which settings its configs have, and how their runs are trained and used.

    What a run of the task cannot do is refused in one line; sizes are (height, width) in pixels.

    Attributes:
      name: in a config's `task`.
      may_differ: settings whose values may differ among runs that are trained together.
      evaluator: import path of the function that `evaluate` calls.
    """

    name: ClassVar[str]
    may_differ: ClassVar[tuple[str, ...]] = ()
    evaluator: ClassVar[str | None] = None

    @abc.abstractmethod
    def schema(self, config: ConfigDict) -> ConfigDict:
        """Every setting that a config like this one has, with its default."""

    @abc.abstractmethod
    def check_sense(self, config: ConfigDict) -> None:
        """Raises UsageError for settings of the right types that no run can have."""

    def check(self, config: ConfigDict, source: str | Path = "config") -> None:
        """Raises UsageError unless a config has the settings of its task, no others, and sense.

        Args:
          source: where the config is from, for messages.
        """
        if "grid" in config:
            raise UsageError(f"{source}: it has a grid, and so is one of `dfm sweep`")
        configs.check(config, source, self.schema(config))
        self.check_sense(config)

    @abc.abstractmethod
    def train(
        self, config: ConfigDict, workdir: str | Path, profile_steps: int = 0
    ) -> list[dict[str, Any]]:
        """Trains, or goes on training, the run of a config.

        Returns:
          What came out, an entry for each model; nothing in processes other than the first.
        """

    def train_together(
        self, runs: Sequence[ConfigDict], workdirs: Sequence[str | Path]
    ) -> list[dict[str, Any]]:
        """`train` of several runs at once, which differ in `may_differ` at most."""
        entries: list[dict[str, Any]] = []
        for config, workdir in zip(runs, workdirs, strict=True):
            entries += self.train(config, workdir)
        return entries

    def table(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of the table in which a command shows what `train` returned."""
        return results

    @abc.abstractmethod
    def after(self, workdir: str | Path) -> str:
        """What a user can look at when a run has ended: the last line of `dfm train`."""

    def reconstruct(
        self,
        workdir: str | Path,
        outputs: Outputs,
        *,
        scale: float = 1.0,
        size: tuple[int, int] | None = None,
        images: Sequence[str | Path] = (),
        split: str | None = None,
    ) -> list[Path]:
        """Writes what a run has learned as images.

        Args:
          outputs: where to.
          scale: size relative to the training images, where `size` is not given.
          images: files of images to reconstruct, or, if there are none,
          split: those of the data set that are.

        Returns:
          What was written.
        """
        self._refuse(workdir, "reconstructions")

    def sample(
        self,
        workdir: str | Path,
        num: int,
        *,
        prior: str = "gaussian",
        seed: int = 0,
        size: tuple[int, int] | None = None,
        label: int | None = None,
    ) -> Any:
        """New images [num, H, W, C] in [0, 1], of the class `label` where it is given."""
        self._refuse(workdir, "samples")

    def interpolate(
        self,
        workdir: str | Path,
        first: int,
        second: int,
        num: int,
        *,
        size: tuple[int, int] | None = None,
    ) -> Any:
        """Images [num, H, W, C] in [0, 1] on the way between two training images."""
        self._refuse(workdir, "interpolations")

    def evaluate(self, workdirs: Sequence[str | Path], **options: Any) -> list[dict[str, Any]]:
        """Measures how good runs are, one result each; `options` are those of the evaluator."""
        if self.evaluator is None:
            self._refuse(workdirs[0], "evaluation")
        return import_path(self.evaluator, "evaluator")(workdirs, **options)

    def _refuse(self, workdir: str | Path, what: str) -> NoReturn:
        raise UsageError(f"{workdir}: a run of {self.name} has no {what}")


TASKS: Registry[type[Task]] = Registry(
    "task",
    {
        "compression": "dfm_flax.compression.task:CompressionTask",
        "generation": "dfm_flax.generation.task:GenerationTask",
    },
)


def task_of(config: ConfigDict) -> Task:
    """The task that a config's `task` names.

    Raises:
      UsageError: there is no such task.
    """
    name = config.get("task")
    if not isinstance(name, str):
        raise UsageError(f"config.task={name!r} is not one of {', '.join(TASKS.names())}")
    renamed = configs.RENAMED_VALUES["task"].get(name)
    if renamed is not None:
        raise UsageError(f"config.task={name!r} is now {renamed!r}")
    return TASKS.get(name)()


def train(config: ConfigDict, workdir: str | Path) -> list[dict[str, Any]]:
    """Trains, or goes on training, the run of a config, as `dfm train` does it.

    Returns:
      What came out, an entry for each model, as in results.json of the run.

    Raises:
      UsageError: settings or data cannot be used.
      DfmError: training diverged or was interrupted.
    """
    return task_of(config).train(config, workdir)
