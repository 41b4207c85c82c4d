"""Compression as a task: the thesis's experiment, one machine overfitted to one image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dfm_flax.config import load_config
from dfm_flax.errors import UsageError
from dfm_flax.outputs import Outputs
from dfm_flax.tasks import Task


class CompressionTask(Task):
    name = "compression"
    # Numbers of the optimizer, which become data of the step, and what shows in the initial
    # weights only.
    may_differ = (
        "optimizer.b1",
        "optimizer.b2",
        "optimizer.learning_rate",
        "optimizer.final_learning_rate",
        "model.machine.variances",
        "model.machine.normalize",
    )

    def schema(self, config: ConfigDict) -> ConfigDict:
        return load_config("base_compression")

    def check_sense(self, config: ConfigDict) -> None:
        from dfm_flax.models.machine import make_machine
        from dfm_flax.training.optimizers import check_optimizer
        from dfm_flax.training.step import check_precision

        if config.num_seeds < 1 or not 0 <= config.seed <= 2**32 - config.num_seeds:
            raise UsageError(
                f"config.seed={config.seed}, config.num_seeds={config.num_seeds}: give one seed or "
                f"more, from 0 to {2**32 - 1}"
            )
        crop = config.data.crop
        if len(crop) not in (0, 2) or not all(isinstance(n, int) and n > 0 for n in crop):
            raise UsageError(f"config.data.crop={crop}: give height,width or () for none")
        make_machine(config.model.machine, 3)
        check_optimizer(config.optimizer, config.training.num_steps)
        check_precision(config.training.precision)
        sampling = config.training.sampling
        if sampling not in ("uniform", "stratified"):
            raise UsageError(f"training.sampling={sampling!r} is not one of uniform, stratified")

    def train(
        self, config: ConfigDict, workdir: str | Path, profile_steps: int = 0
    ) -> list[dict[str, Any]]:
        from dfm_flax.compression.train import train

        return train(config, workdir, profile_steps)

    def train_together(
        self, runs: Sequence[ConfigDict], workdirs: Sequence[str | Path]
    ) -> list[dict[str, Any]]:
        from dfm_flax.compression.train import train_side_by_side

        return train_side_by_side(runs, workdirs)

    def table(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from dfm_flax.compression.results import summarize

        return summarize(results)

    def after(self, workdir: str | Path) -> str:
        return f"pictures: {Path(workdir) / 'figures'}"

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
        if images or split:
            raise UsageError(f"{workdir} is a run of compression: no --images, no --split")
        from dfm_flax.compression.reconstruct import reconstruct

        return reconstruct(workdir, outputs, scale, size)
