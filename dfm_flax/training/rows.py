"""An array whose rows are shared out over the processes of a run: what each of them has of it.

Each process keeps, writes and reads its own rows alone, however large all of them are. Their digest
is made of digests of blocks of rows, none of which lies in two parts: it is the same for whatever
number of processes, and no process needs the rows of another to know it.
"""

import functools
import hashlib
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Shaped, UInt8

from dfm_flax import cluster
from dfm_flax.errors import UsageError

BLOCK = 16  # rows that have a digest of their own; all parts begin at a multiple of it

_BYTES_AT_ONCE = 2**26  # that processes send to each other
_DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True, eq=False)
class Rows:
    """The part of an array that this process has: as many rows as each, in the processes' order.

    Attributes:
      num: rows of the array.
      own: ours of them, and behind the last of all rows 0.
    """

    num: int
    own: Shaped[np.ndarray, "own *row"]

    def __post_init__(self) -> None:
        assert len(self.own) % BLOCK == 0

    @classmethod
    def of(cls, whole: Shaped[np.ndarray, "rows *row"], size: int) -> "Rows":
        """Our part of an array that this process has whole, of `size` rows each."""
        own = np.zeros((size, *whole.shape[1:]), whole.dtype)
        ours = whole[cluster.place()[0] * size :][:size]
        own[: len(ours)] = ours
        return cls(len(whole), own)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.num, *self.own.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        return self.own.dtype

    @property
    def struct(self) -> jax.ShapeDtypeStruct:
        """What `array` is like."""
        shape = len(self.own) * cluster.num_processes(), *self.own.shape[1:]
        return jax.ShapeDtypeStruct(shape, self.dtype, sharding=_sharding())

    def array(self) -> Shaped[jax.Array, "all *row"]:
        """All parts one after the other, as JAX and Orbax see an array of several processes.

        In the memory of the hosts, whatever the devices are.
        """
        struct = self.struct
        (device,) = struct.sharding.addressable_devices
        own = jax.device_put(self.own, device)
        return jax.make_array_from_single_device_arrays(struct.shape, struct.sharding, [own])

    def filled(self, array: Shaped[jax.Array, "all *row"]) -> "Rows":
        """The same rows with the numbers of an array that is like `array`."""
        return Rows(self.num, np.asarray(array.addressable_shards[0].data))

    def digest(self) -> str:
        """`digest_of_rows` of the array; all processes ask for it together."""
        ours = min(len(self.own), max(0, self.num - cluster.place()[0] * len(self.own)))
        return _joined(cluster.joined_rows(_of_blocks(self.own[:ours])), self.dtype, self.shape)

    def whole(self) -> Shaped[np.ndarray, "rows *row"] | None:
        """The array, in process 0 alone; all processes ask for it together.

        They send their rows in pieces: just process 0 has to have room for all.
        """
        if cluster.num_processes() == 1:
            return self.own[: self.num]
        shape = cluster.num_processes(), *self.own.shape
        whole = np.zeros(shape, self.dtype) if cluster.is_writer() else None
        step = max(1, _BYTES_AT_ONCE // (self.own[0].nbytes * cluster.num_processes()))
        cluster.meet()
        for start in range(0, len(self.own), step):
            parts = multihost_utils.process_allgather(self.own[start : start + step])
            if whole is not None:
                whole[:, start : start + step] = parts
        return None if whole is None else whole.reshape(-1, *self.own.shape[1:])[: self.num]


def digest_of_rows(array: Shaped[np.ndarray, "rows *row"]) -> str:
    """SHA-256 over dtype, shape and the SHA-256 of each block of rows."""
    return _joined(_of_blocks(array), array.dtype, array.shape)


def _of_blocks(rows: Shaped[np.ndarray, "rows *row"]) -> UInt8[np.ndarray, "blocks bytes"]:
    starts = range(0, len(rows), BLOCK)
    digests = b"".join(hashlib.sha256(rows[i : i + BLOCK].tobytes()).digest() for i in starts)
    return np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES)


def _joined(
    blocks: UInt8[np.ndarray, "blocks bytes"], dtype: np.dtype, shape: tuple[int, ...]
) -> str:
    return hashlib.sha256(f"{dtype}{shape}".encode() + blocks.tobytes()).hexdigest()


@functools.cache
def _sharding() -> NamedSharding:
    """A part for each process, on its host.

    Raises:
      UsageError: JAX was told to do without the processors of the hosts.
    """
    try:
        devices = jax.devices("cpu")
    except RuntimeError as error:
        raise UsageError(
            "a table that is shared out is saved from the hosts' memory, and JAX has no platform "
            "cpu; add it, as in JAX_PLATFORMS=cuda,cpu"
        ) from error
    first = {device.process_index: device for device in reversed(devices)}
    mesh = Mesh(np.array([first[i] for i in range(cluster.num_processes())]), ("processes",))
    return NamedSharding(mesh, PartitionSpec("processes"))
