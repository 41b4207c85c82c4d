"""Several processes, on one host or on many, that train together as one run.

Each drives its own devices; process 0 alone writes. Without `joined` a process is alone: it is
the writer, and what is agreed on is what it says.
"""

import atexit
import contextlib
import functools
import ipaddress
import itertools
import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jaxlib import _jax
from jaxtyping import Shaped

from dfm_flax.errors import GO_ON, DfmError, UsageError, one_line
from dfm_flax.signals import at_once

AUTO = "auto"  # for the coordinator's address: what the cluster's environment tells

# A process that sends no sign of life for so long is given up, and with it the run. A process
# that dies on a host that lives is mostly noticed at once, by its closed connections.
HEARTBEAT_SECONDS = 60
# So long the others wait while process 0 reads, draws, or saves; if it died, a heartbeat.
_PATIENCE_SECONDS = 3600
# So long names may lead nowhere: Kubernetes makes those of pods while these start already.
_RESOLVE_SECONDS, _RESOLVE_SECONDS_IN_KUBERNETES = 5, 60

log = logging.getLogger(__name__)
_meetings = itertools.count()
_Tree = TypeVar("_Tree")  # a pytree of arrays


class Lost(DfmError):
    """Another process of the run is gone."""

    exit_code = GO_ON

    def __init__(self, error: BaseException):
        super().__init__(
            "another process of the run is gone, so this one stops; its own output tells why. "
            f"The same command goes on from the newest checkpoint ({one_line(error)[:120]})"
        )


@contextlib.contextmanager
def joined(
    coordinator: str | None, num_processes: int | None = None, process_id: int | None = None
) -> Iterator[None]:
    """Joins the processes of a run, before anything else is asked of JAX.

    On CPUs they talk by gloo, on GPUs by NCCL, on TPUs by the TPU's own network.

    Args:
      coordinator: HOST:PORT where process 0 can be reached, `AUTO` for what Slurm, Open MPI,
        Kubernetes or a TPU slice tell, or None for a process on its own.
      num_processes, process_id: their number, and which of them (from 0) this one is; None
        with `AUTO`.

    Raises:
      UsageError: the arguments make no sense, nothing tells of a cluster, or the coordinator's
        name leads nowhere.
      DfmError: the others could not be reached, or this host's own name leads nowhere.
      Lost: another process died, as far as its closed connection or its silence tells in time;
        otherwise JAX aborts this one, after `HEARTBEAT_SECONDS`.
    """
    if coordinator is None:
        if num_processes is not None or process_id is not None:
            raise UsageError("--num-processes and --process-id need --coordinator HOST:PORT")
        yield
        return
    _join(coordinator, num_processes, process_id)
    if not is_writer():
        logging.getLogger("dfm_flax").setLevel(logging.WARNING)  # one tells enough
    try:
        try:
            yield
        except Exception as error:
            if is_loss(error):
                raise Lost(error) from error
            raise
    except BaseException as error:
        # At its exit JAX would wait for processes that are gone; what runs last is asked first.
        atexit.register(os._exit, getattr(error, "exit_code", 1))
        raise
    part()


def _join(coordinator: str, num_processes: int | None, process_id: int | None) -> None:
    numbers = num_processes, process_id
    if coordinator == AUTO:
        if numbers != (None, None):
            raise UsageError(f"--coordinator {AUTO} takes no --num-processes or --process-id")
        address = None
    else:
        host, _, port = coordinator.rpartition(":")
        if not (host and port.isdecimal()):
            raise UsageError(f"--coordinator {coordinator} is not HOST:PORT, nor {AUTO}")
        if num_processes is None or process_id is None or not 0 <= process_id < num_processes:
            raise UsageError(
                f"--coordinator {coordinator} needs --num-processes N and --process-id 0..N-1"
            )
        address = coordinator
        _check_names(coordinator, host.strip("[]"))
    # A proxy is for the world outside, and knows nobody of a cluster. gRPC's own variable leaves
    # the others as they are, for downloads.
    if "http_proxy" in os.environ or "https_proxy" in os.environ:
        os.environ.setdefault("grpc_proxy", "")
    # Its handler would swallow the SIGTERMs that `signals` waits for.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        with at_once():
            jax.distributed.initialize(
                address,
                num_processes,
                process_id,
                cluster_detection_method=None if address is None else "deactivate",
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=_PATIENCE_SECONDS,
            )
    except ValueError as error:
        raise UsageError(
            f"--coordinator {AUTO}: no Slurm, Open MPI, Kubernetes or TPU tells of other "
            f"processes here ({one_line(error)}); give HOST:PORT, --num-processes and --process-id"
        ) from error
    except RuntimeError as error:
        raise DfmError(
            f"--coordinator {coordinator}: cannot join the other processes: {one_line(error)[:200]}"
        ) from error
    log.info("process %d of %d", jax.process_index(), jax.process_count())


def _check_names(coordinator: str, host: str) -> None:
    """Sees to it that the coordinator's name and our own lead somewhere.

    Raises:
      UsageError: the coordinator's does not; a cluster that starts has some time for it.
      DfmError: our own does not, and others are to reach us by it.
    """
    in_kubernetes = "KUBERNETES_SERVICE_HOST" in os.environ
    for i in range(_RESOLVE_SECONDS_IN_KUBERNETES if in_kubernetes else _RESOLVE_SECONDS):
        if _resolves(host):
            break
        if i == 0:
            log.info("waiting until the name %s resolves", host)
        time.sleep(1)
    else:
        raise UsageError(f"--coordinator {coordinator}: the name {host} does not resolve")
    own = socket.gethostname()
    if _resolves(own):
        return
    if not all(ipaddress.ip_address(each).is_loopback for each in _addresses(host)):
        raise DfmError(
            f"this host's own name, {own}, does not resolve, so others cannot reach it; "
            "add it to /etc/hosts"
        )
    # All are on this host. JAX has no setting for the address that gloo binds to.
    _jax.make_gloo_tcp_collectives = functools.partial(
        _jax.make_gloo_tcp_collectives, hostname="127.0.0.1"
    )


def _resolves(host: str) -> bool:
    try:
        return bool(_addresses(host))
    except OSError:
        return False


def _addresses(host: str) -> list[str]:
    return [str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)]


def is_writer() -> bool:
    """Whether this process writes logs, checkpoints and results: one does."""
    return jax.process_index() == 0


def num_processes() -> int:
    return jax.process_count()


def largest(number: int) -> int:
    """The largest of the numbers that the processes give, all at the same point of a run."""
    if jax.process_count() == 1:
        return number
    meet()
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def first_of(text: str) -> str:
    """The first text that is not empty, of those that the processes give at the same point."""
    letters = np.frombuffer(f"{text}\n".encode(), np.uint8)
    texts = joined_rows(letters).tobytes().decode().split("\n")
    return next(filter(None, texts), "")


def meet() -> None:
    """Waits until all processes are here.

    Collectives would do, but gloo's give up after half a minute, and one process may well be so
    late: process 0 draws and saves, others compile on a busy host.
    """
    if jax.process_count() > 1:
        ocp.multihost.sync_global_processes(
            f"dfm_flax {next(_meetings)}",
            timeout=_PATIENCE_SECONDS,
            processes=set(range(jax.process_count())),
        )


def from_writer(tree: _Tree) -> _Tree:
    """Process 0's pytree of NumPy arrays in all processes, bit for bit.

    Args:
      tree: in the other processes, arrays of the same shapes and dtypes.
    """
    if jax.process_count() == 1:
        return tree
    meet()
    # As integers: sums, by which JAX broadcasts, lose the sign of -0.
    words = jax.tree.map(lambda leaf: np.atleast_1d(leaf).view(np.uint8), tree)
    received = multihost_utils.broadcast_one_to_all(words)
    return jax.tree.map(
        lambda leaf, word: np.asarray(word).view(leaf.dtype).reshape(leaf.shape), tree, received
    )


def place() -> tuple[int, int]:
    """(i, n): this process is the i-th of n, from 0 on."""
    return jax.process_index(), jax.process_count()


def joined_rows(rows: Shaped[np.ndarray, "part *row"]) -> Shaped[np.ndarray, "all *row"]:
    """The rows of all processes one after the other, from the part that each has."""
    if jax.process_count() == 1:
        return rows
    meet()
    counts = multihost_utils.process_allgather(np.int32(len(rows)))
    padded = np.zeros((counts.max(), *rows.shape[1:]), rows.dtype)
    padded[: len(rows)] = rows
    parts = multihost_utils.process_allgather(padded)
    return np.concatenate([part[:count] for part, count in zip(parts, counts, strict=True)])


def part() -> None:
    """Waits for all processes and ends what they have in common; from then on each is alone."""
    jax.distributed.shutdown()


def is_loss(error: BaseException) -> bool:
    """Whether an error tells that another process is gone."""
    signs = ("gloo", "nccl", "coordination", "barrier", "connection closed", "heartbeat")
    return not isinstance(error, DfmError) and any(sign in str(error).lower() for sign in signs)
