import pytest

from dfm_flax.config import load_config, override
from dfm_flax.tasks import generate

# A generator so small that it trains in a second, after some seconds of compilation.
SMALL = (
    "model.latent_size=4",
    "model.hidden=16",
    "optimizer.warmup_steps=10",
    "training.num_steps=60",
    "training.batch_size=16",
    "training.log_every=20",
    "training.images_every=60",
    "training.checkpoint_every=20",
)


def _small(variant="dfm", *changes):
    config = load_config(f"configs/digits.py:{variant}")
    override(config, [*SMALL, *changes])
    return config


@pytest.fixture
def small_arguments():
    """The same changes, as arguments of `dfm train`."""
    return [f"--config.{change}" for change in SMALL]


@pytest.fixture(scope="session")
def small():
    """small(variant, *changes) is a config of configs/digits.py that trains in seconds."""
    return _small


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Trains small generators, once each: runs(variant, *changes) is the folder of a run."""
    made = {}

    def run(*key):
        if key not in made:
            made[key] = tmp_path_factory.mktemp("run")
            generate.train(_small(*key), made[key])
        return made[key]

    return run
