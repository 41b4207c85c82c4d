"""Generation as a task: a decoder learns to draw a data set from latents."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dfm_flax.config import flatten, load_config
from dfm_flax.errors import UsageError
from dfm_flax.outputs import Outputs
from dfm_flax.tasks import Task


class GenerationTask(Task):
    name = "generation"
    evaluator = "dfm_flax.evaluation.evaluate:evaluate"

    def schema(self, config: ConfigDict) -> ConfigDict:
        name = flatten(config).get("model.name")
        if not isinstance(name, str):
            raise UsageError(f"config.model.name={name!r} is not the name of a generator")
        return _base(name)

    def check(self, config: ConfigDict, source: str | Path = "config") -> None:
        wanted, present = flatten(self.schema(config)).keys(), flatten(config).keys()
        if present != wanted:
            from dfm_flax.generation.generator import GENERATORS

            for made_for in GENERATORS.names():
                if present == flatten(_base(made_for)).keys():
                    name = config.model.name
                    raise UsageError(
                        f"{source}: model.name={name!r}: a config of {made_for!r} lacks the "
                        "settings of others; name the generator with the config, as in "
                        f"--config digits:{name}"
                    )
        super().check(config, source)

    def check_sense(self, config: ConfigDict) -> None:
        from dfm_flax.data.feed_choice import check_feed
        from dfm_flax.generation.generator import ImageShape, make_generator
        from dfm_flax.training.optimizers import check_optimizer
        from dfm_flax.training.placement import make_placement
        from dfm_flax.training.step import check_precision

        if not 0 <= config.seed < 2**32:
            raise UsageError(f"config.seed={config.seed}: from 0 to {2**32 - 1}")
        if not 0 <= config.optimizer.ema_decay < 1:
            raise UsageError(
                f"config.optimizer.ema_decay={config.optimizer.ema_decay}: 0 to below 1"
            )
        check_optimizer(config.optimizer, config.training.num_steps)
        check_precision(config.training.precision)
        check_feed(config.data)
        make_placement(
            config.training.table_placement, 1 if config.model.latents == "table" else None
        )
        # The data set is not read yet; of images as large as these no setting is too large.
        make_generator(config, ImageShape(4096, 4096, 3))

    def train(
        self, config: ConfigDict, workdir: str | Path, profile_steps: int = 0
    ) -> list[dict[str, Any]]:
        from dfm_flax.generation.train import train

        return train(config, workdir, profile_steps)

    def after(self, workdir: str | Path) -> str:
        return f"samples: dfm sample --workdir {workdir} --prior gmm --out samples.png"

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
        import numpy as np

        from dfm_flax.data.feed_choice import load_looked_at
        from dfm_flax.figures.image_output import claim_images, write_images
        from dfm_flax.generation.input_images import read_images
        from dfm_flax.generation.sampling import load_generator

        paths = claim_images(outputs, len(images))  # before any work
        generator = load_generator(workdir)
        shape = generator.shape
        if split:
            held_out = load_looked_at(generator.config.data, split)
            originals = (held_out.images / 255).astype(np.float32)
        else:
            originals = read_images([str(image) for image in images], shape)
        scaled = max(1, round(shape.height * scale)), max(1, round(shape.width * scale))
        paths = paths or claim_images(outputs, len(originals))  # of a split
        write_images(paths, generator.reconstruct(originals, size or scaled))
        return [outputs.path]

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
        from dfm_flax.generation.prior import find_prior
        from dfm_flax.generation.sampling import load_generator

        find_prior(prior)  # before anything is read
        return load_generator(workdir).sample(num, prior=prior, seed=seed, size=size, label=label)

    def interpolate(
        self,
        workdir: str | Path,
        first: int,
        second: int,
        num: int,
        *,
        size: tuple[int, int] | None = None,
    ) -> Any:
        from dfm_flax.generation.sampling import load_generator

        return load_generator(workdir).interpolate(first, second, num, size=size)


def _base(generator: str) -> ConfigDict:
    """Every setting of a generator's configs."""
    return load_config(f"base_generation:{generator}")
