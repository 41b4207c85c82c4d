import atexit
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile

import pytest
from jaxtyping import install_import_hook

from tests import fork_server

# The types that annotations promise are checked at every call in this process, with the shapes
# and dtypes of arrays; an int is as good as a float.
install_import_hook(
    "dfm_flax", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Of several test processes that share a GPU, the first would take all of its memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

# Tests compare with references in float32 and float64, also where products are less by default.
os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")

# As `dfm` sets it, which many tests call in this process: it is the same before and after.
os.environ["MPLBACKEND"] = "agg"

# What one test has compiled no other compiles again: not in another process of pytest, and not in
# a command that a test starts. All is forgotten at the end, unless the folder is given.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="dfm_flax_compiled_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

# Commands are forked from a process with these variables, however a test changes its own.
fork_server.ENVIRONMENT.update(os.environ, JAX_PLATFORMS="cpu")

# A machine and an image so small that a run of the real command takes a few seconds.
TINY = (
    "--config=compress",
    "--config.data.resize=24",
    "--config.data.crop=24,24",
    "--config.model.machine.depth=3",
    "--config.model.machine.width=3",
    "--config.optimizer.learning_rate=3e-3",
    "--config.training.num_steps=60",
    "--config.training.log_every=5",
    "--config.training.checkpoint_every=10",
)


@pytest.fixture
def tiny():
    """Arguments of `dfm train` for a run of seconds; a later argument overrides an earlier."""
    return TINY


@pytest.fixture
def dfm():
    """Runs the real command in a process of its own and returns what it did."""

    def run(*arguments, devices=1, check=None):
        environment = os.environ | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
        }
        process = fork_server.run(
            [sys.executable, "-m", "dfm_flax", *arguments], text=True, env=environment, timeout=300
        )
        if check is not None:
            assert process.returncode == check, process.stderr
        return process

    return run


def equations_of(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)  # of a closed one
                if hasattr(inner, "eqns"):
                    yield from equations_of(inner)


@pytest.fixture
def equations():
    """equations(function, *arguments): all that it consists of, by XLA, also in inner functions."""
    import jax

    from dfm_flax.fourier import by_xla

    def traced(function, *arguments, **named):
        with by_xla():
            return list(equations_of(jax.make_jaxpr(function, **named)(*arguments).jaxpr))

    return traced


@pytest.fixture
def precisions(equations):
    """precisions(function, *arguments): of all matrix products and convolutions in it.

    They are traced where the default of JAX is the lowest.
    """
    import jax

    def traced(function, *arguments, **named):
        with jax.default_matmul_precision("default"):
            return {
                str((equation.params["precision"] or ["DEFAULT"])[0])
                for equation in equations(function, *arguments, **named)
                if equation.primitive.name in ("dot_general", "conv_general_dilated")
            }

    return traced


# A generator so small that it trains in a second, after some seconds of compilation.
SMALL = (
    "model.latent_size=4",
    "model.hidden=16",
    "optimizer.warmup_steps=10",
    "training.num_steps=60",
    "training.batch_size=16",
    "training.log_every=20",
    "training.checkpoint_every=20",
    "observe_every=60",
)


def small_config(variant="dfm", *changes):
    from dfm_flax.config import load_config, override

    config = load_config(f"digits:{variant}")
    override(config, [*SMALL, *changes])
    return config


@pytest.fixture(scope="session")
def small():
    """small(variant, *changes) is a config of digits.py that trains in seconds."""
    return small_config


@pytest.fixture
def small_arguments():
    """The same changes to digits.py, as arguments of `dfm train`."""
    return [f"--config.{change}" for change in SMALL]


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Trains small generators, once each: runs(variant, *changes) is the folder of a run.

    What one process of pytest has trained the others copy.
    """
    from dfm_flax.generation.train import train

    base, made = tmp_path_factory.getbasetemp(), {}
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "runs"
    shared.mkdir(exist_ok=True)

    def trained(key):
        folder = shared / hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                train(small_config(*key), folder.with_suffix(".part"))
                folder.with_suffix(".part").rename(folder)
        return folder

    def run(*key):
        if key not in made:
            made[key] = tmp_path_factory.mktemp("run") / "run"
            shutil.copytree(trained(key), made[key])
        return made[key]

    return run


# Machines of each kind that a .dfm file can hold.
MACHINES = {
    "best": {"depth": 4, "width": 6, "basis": "additive", "max_frequencies": (8, 1, 1)},
    "thesis": {"depth": 3, "width": 4, "residual": True, "extent": 1.0},
    "two layers, gray": {"depth": 2, "width": 5, "channels": 1, "max_frequencies": (2, 1, 3)},
    "mixed": {
        "depth": 3,
        "width": 3,
        "basis": ("additive", "full", "additive"),
        "max_frequencies": (1, 2, 3),
    },
    "tapered": {"depth": 4, "width": (7, 5, 2), "basis": "additive", "max_frequencies": (8, 2, 2)},
}


@pytest.fixture
def quantized():
    """quantized(name, seed): an image of random integers, 20 x 30."""

    import numpy as np

    from dfm_flax.codec.groups import num_groups, row_groups
    from dfm_flax.codec.quantized import QuantizedImage
    from dfm_flax.fourier import FourierMachine

    def make(name="best", seed=0, **changes):
        machine = FourierMachine(
            **{"residual": False, "extent": float(np.float32(0.7))} | MACHINES[name]
        )
        rng = np.random.default_rng(seed)
        integers = [
            np.rint(rng.normal(0, 4, (len(rows), n))).astype(np.int32)
            for rows, n in zip(row_groups(machine), machine.widths[1:], strict=True)
        ]
        codes = rng.integers(30, 50, num_groups(machine), np.uint8)
        fields = {"height": 20, "width": 30, "levels": 255} | changes
        return QuantizedImage(**fields, machine=machine, step_codes=codes, integers=integers)

    make.names = list(MACHINES)
    return make


@pytest.fixture(scope="session")
def pyramid_image():
    """pyramid_image(height, width, ..): an image of random grids, and of weights near the start."""

    import numpy as np

    from dfm_flax.codec.pyramid.geometry import Pyramid
    from dfm_flax.codec.pyramid.image import PyramidImage
    from dfm_flax.codec.pyramid.network import Network
    from dfm_flax.codec.pyramid.weights import CodedWeights

    def make(
        height=11, width=18, channels=3, first=0, count=4, levels=255, seed=0, gain_code=40,
        spread=1.0, start=1,
    ):  # fmt: skip
        rng = np.random.default_rng(seed)
        network = Network(channels, count, first, start)
        codes = rng.integers(5, 12, len(network.groups), np.uint8)
        integers = [
            np.rint(rng.normal(0, 2, (len(group.rows), *network.shapes[group.name][1:])))
            for group in network.groups
        ]
        weights = CodedWeights(network, codes, [group.astype(np.int32) for group in integers])
        pyramid = Pyramid(height, width, first, count)
        grids = [np.rint(rng.laplace(0, spread, shape)) for shape in pyramid.shapes]
        grids = [grid.astype(np.int32) for grid in grids]
        return PyramidImage(levels, pyramid, gain_code, weights, grids)

    return make
