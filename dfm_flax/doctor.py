"""What this machine has for training, and whether it works: the findings of `dfm doctor`."""

import contextlib
import importlib.metadata
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import psutil
from jaxtyping import Float

from dfm_flax import cluster
from dfm_flax.data.tfds import list_sets, root
from dfm_flax.errors import DfmError, one_line
from dfm_flax.fourier import FourierMachine
from dfm_flax.fourier.series import evaluation
from dfm_flax.training.feed import PixelFeed
from dfm_flax.training.losses import Metrics, Scalar
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import first_replica, make_step, make_train_steps, replicate

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets")
_STEPS = 5  # that one device and all devices take
_TOLERANCE = 1e-4  # of weights after them, relative: sums in another order
_PROCESSES, _PATIENCE_SECONDS = 2, 300


@dataclass(frozen=True)
class Finding:
    """Something about this machine.

    Attributes:
      what: was looked at.
      found: in words.
      cure: what to do about it; "" where all is well.
    """

    what: str
    found: str
    cure: str = ""


def examine(data_dir: str = "") -> Iterator[Finding]:
    """Looks at one thing after the other. In a run of several processes all call it.

    Args:
      data_dir: of TFDS; "" is TFDS's default.
    """
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("versions", _versions),
        ("devices", _devices),
        ("memory", _memory),
        ("Fourier series", _evaluation),
        ("pmap", _pmap),
    ]
    if cluster.num_processes() > 1:
        looks.append(("processes", _all_reduce))
    else:
        looks.append(("processes", _two_processes))
    looks.append(("data sets", lambda: _data_sets(data_dir)))
    for what, look in looks:
        try:
            yield look()
        except Exception as error:  # whatever a broken installation raises is the finding
            reason = f"{type(error).__name__}: {one_line(error)[:300]}"
            yield Finding(what, reason, "this is not foreseen; it may be the installation's")


def _versions() -> Finding:
    found = [f"Python {platform.python_version()}"]
    found += [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    return Finding("versions", ", ".join(found))


def _devices() -> Finding:
    devices = jax.local_devices()
    kinds = [f"{device.platform} {device.device_kind}" for device in devices]
    found = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    if (others := jax.device_count() - len(devices)) > 0:
        found += f", and {others} of other processes"
    cure = ""
    if devices[0].platform == "cpu":
        if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
            cure = (
                "there is an NVIDIA GPU that JAX does not use: "
                "pip install -c constraints.txt '.[cuda12]', and unset JAX_PLATFORMS"
            )
        elif Path("/dev/accel0").exists() or Path("/dev/vfio/0").exists():
            cure = "there is a TPU that JAX does not use: pip install -c constraints.txt '.[tpu]'"
    return Finding("devices", found, cure)


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    found = [f"host {memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"]
    for device in jax.local_devices():
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            free = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
            found.append(f"{device} {free / 1e9:.1f} of {stats['bytes_limit'] / 1e9:.1f} GB")
    cure = "" if memory.available > 1e9 else "training needs a gigabyte of memory; free some"
    return Finding("memory", ", ".join(found), cure)


def _evaluation() -> Finding:
    how = evaluation()
    cure = "install a C++ compiler, and this package again" if "slower" in how else ""
    return Finding("Fourier series", f"by {how}", cure)


def _pmap() -> Finding:
    """Steps of a small machine: the batch is shared out, the weights are those of one device."""
    num_devices = jax.device_count()
    alone, all_of_them = _trained(1), _trained(None)
    apart = max(
        float(np.max(np.abs(one - many)) / (np.max(np.abs(one)) + 1e-12))
        for one, many in zip(jax.tree.leaves(alone), jax.tree.leaves(all_of_them), strict=True)
    )
    found = f"{_STEPS} steps on {num_devices} devices and on one: weights {apart:.1e} apart"
    cure = "" if apart < _TOLERANCE else "devices disagree: do not train here; look for a bad one"
    return Finding("pmap", found, cure)


def _trained(num_devices: int | None) -> Any:
    """Weights after some steps on one device or, with None, on all."""
    machine, optimizer = FourierMachine(depth=3, width=4, channels=3), optax.adam(1e-3)
    rng = jax.random.PRNGKey(0)
    params = machine.init(rng, jnp.zeros((1, 2)))["params"]
    image = np.random.default_rng(0).uniform(size=(16, 16, 3)).astype(np.float32)
    feeds = PixelFeed.stack([image], 8 * jax.device_count(), "uniform")
    feed = jax.tree.map(lambda leaf: leaf[0], feeds)

    def loss(params: Any, batch: Any, rng: Any) -> tuple[Scalar, Metrics]:
        colors = machine.apply({"params": params}, batch.positions)
        return jnp.mean((colors - batch.colors) ** 2), {}

    state = jax.tree.map(np.array, TrainState.create(rng, params, optimizer))
    step = make_step(loss, optimizer)
    with jax.default_matmul_precision("highest"):
        train_steps = make_train_steps(
            step, tuple(jax.local_devices()[:1]) if num_devices else None
        )
        on_devices, feed = replicate(state, num_devices), replicate(feed, num_devices)
        on_devices, *_ = train_steps(on_devices, feed, np.int32(0))  # compiles
        cluster.meet()
        trained, *_ = train_steps(on_devices, feed, np.int32(_STEPS))
    return first_replica(trained.params)


def _all_reduce() -> Finding:
    """Sums over all processes of the run."""
    total, milliseconds = _summed(np.ones(2**18, np.float32) * (jax.process_index() + 1))
    count = jax.process_count()
    expected = count * (count + 1) / 2
    found = f"a megabyte summed over {count} processes in {milliseconds:.1f} ms"
    wrong = f"a sum over {count} processes is {total}, not {expected}: look at their network"
    return Finding("processes", found, "" if total == expected else wrong)


def _summed(numbers: Float[np.ndarray, "numbers"]) -> tuple[float, float]:
    """The sum over all processes of numbers that are alike, and milliseconds that it takes."""
    add = jax.pmap(lambda own: jax.lax.psum(own, "devices"), axis_name="devices")
    count = jax.local_device_count()
    own = np.concatenate([numbers[None], np.zeros((count - 1, *numbers.shape), np.float32)])
    cluster.meet()
    jax.block_until_ready(add(own))
    begin = time.perf_counter()
    total = jax.block_until_ready(add(own))
    milliseconds = 1e3 * (time.perf_counter() - begin)
    found = np.asarray(total.addressable_shards[0].data)
    if not (found == found.flat[0]).all():
        raise DfmError("a sum differs from number to number")
    return float(found.flat[0]), milliseconds


def _two_processes() -> Finding:
    """Sums over two processes that are started here, of a GPU each where there are two."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    gpus = [device for device in jax.local_devices() if device.platform == "gpu"]
    by_gpus = len(gpus) >= _PROCESSES
    running = []
    for i in range(_PROCESSES):
        environment = os.environ | (
            {"CUDA_VISIBLE_DEVICES": str(gpus[i].local_hardware_id)}
            if by_gpus
            else {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
        )
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        command = [sys.executable, "-m", "dfm_flax.doctor", coordinator, str(_PROCESSES), str(i)]
        running.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    try:
        outputs = [process.communicate(timeout=_PATIENCE_SECONDS) for process in running]
    except subprocess.TimeoutExpired:
        return Finding(
            "processes",
            f"two processes did not sum within {_PATIENCE_SECONDS} s",
            "look at this host's name in /etc/hosts, and at its firewall",
        )
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
    network = "NCCL" if by_gpus else "gloo"
    for process, (_, errors) in zip(running, outputs, strict=True):
        if process.returncode:
            last = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            return Finding(
                "processes", f"two processes by {network}: {last[:300]}", "runs of one process work"
            )
    # The last line: gloo says something of its own before.
    return Finding("processes", f"by {network}: {outputs[0][0].strip().splitlines()[-1]}")


def _data_sets(data_dir: str) -> Finding:
    names = [f"{each['name']} ({each['images']})" for each in list_sets(data_dir)]
    place = root(data_dir)
    return Finding("data sets", f"{', '.join(names) or 'none'}, in {place}")


def main() -> int:
    """A process that another one starts: sums, and says so."""
    coordinator, num_processes, process_id = sys.argv[1:]
    with cluster.joined(coordinator, int(num_processes), int(process_id)):
        found = _all_reduce()
    print(found.cure or found.found)
    return 1 if found.cure else 0


if __name__ == "__main__":
    sys.exit(main())
