"""How a state lies on the devices: a copy on each, or its table of latents shared out by rows.

On the disk and in messages between processes a state is always whole: what is saved on some devices
goes on on others.
"""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Shaped

from dfm_flax import cluster
from dfm_flax.errors import UsageError
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import first_replica, local_places, place_rows, replicate

PLACEMENTS = ("replicated", "sharded")

_BYTES_AT_ONCE = 2**26  # that processes send to each other


class Placement(abc.ABC):
    """Puts whole states, of NumPy arrays, on the devices, and gets them from there.

    Attributes:
      needs_all: whether all processes have to call `get` together.
    """

    needs_all: bool

    @abc.abstractmethod
    def put(self, state: TrainState) -> Any:
        """A state on the local devices, with a leading axis."""

    @abc.abstractmethod
    def get(self, state: Any) -> TrainState:
        """The whole state."""


class Replicated(Placement):
    """Each device has all of the state."""

    needs_all = False

    def put(self, state: TrainState) -> Any:
        """See `Placement.put`."""
        return replicate(state)

    def get(self, state: Any) -> TrainState:
        """See `Placement.get`."""
        return first_replica(state)


class ShardedTable(Placement):
    """Each device has an equal part of the table's rows, in order, and all else.

    What the parts have beyond the last row is 0 and is never asked for.
    """

    needs_all = True

    def __init__(self, num_rows: int):
        self._num_rows = num_rows
        self._rows = rows_of_a_device(num_rows)

    def put(self, state: TrainState) -> Any:
        """See `Placement.put`."""
        places = list(local_places().values())
        table = jax.tree.map(lambda leaf: place_rows(self._parts(leaf, places)), state.table)
        placed = replicate(dataclasses.replace(state, table=None))
        return dataclasses.replace(placed, table=table)

    def get(self, state: Any) -> TrainState:
        """See `Placement.get`; of the table in process 0 alone."""
        table = jax.tree.map(self._whole, state.table)
        return dataclasses.replace(
            first_replica(dataclasses.replace(state, table=None)), table=table
        )

    def _parts(
        self, leaf: Shaped[np.ndarray, "images *row"], places: Sequence[int]
    ) -> Shaped[np.ndarray, "devices rows *row"]:
        parts = np.zeros((len(places), self._rows, *leaf.shape[1:]), leaf.dtype)
        for part, place in zip(parts, places, strict=True):
            own = leaf[place * self._rows : (place + 1) * self._rows]
            part[: len(own)] = own
        return parts

    def _whole(
        self, leaf: Shaped[jax.Array, "devices rows *row"]
    ) -> Shaped[np.ndarray, "images *row"]:
        row = leaf.shape[2:]
        whole = np.zeros((jax.device_count(), self._rows, *row), leaf.dtype)
        place_of = local_places()
        shards, places = leaf.addressable_shards, []
        # A copy: the CPU backend would hand out a view of memory that the next step overwrites.
        own = [np.array(shard.data).reshape(self._rows, *row) for shard in shards]
        for shard, part in zip(shards, own, strict=True):
            place = place_of[shard.device]
            places.append(place)
            whole[place] = part
        if cluster.num_processes() > 1:
            cluster.meet()
            their = multihost_utils.process_allgather(np.array(places))
            row_bytes = int(np.prod(row, dtype=int)) * leaf.dtype.itemsize * jax.device_count()
            step = max(1, _BYTES_AT_ONCE // row_bytes)
            for start in range(0, self._rows, step):
                some = np.stack([part[start : start + step] for part in own])
                for process, parts in zip(
                    their, multihost_utils.process_allgather(some), strict=True
                ):
                    whole[process, start : start + step] = parts
        return whole.reshape(-1, *row)[: self._num_rows]


def make_placement(name: str, num_rows: int | None) -> Placement:
    """A placement by its name in a config.

    Args:
      num_rows: of the table; None where the state has none.

    Raises:
      UsageError: there is none of that name, or it shares out a table that is not there.
    """
    if name not in PLACEMENTS:
        raise UsageError(
            f"config: training.table_placement={name!r} is not one of {', '.join(PLACEMENTS)}"
        )
    if name == "replicated":
        return Replicated()
    if num_rows is None:
        raise UsageError(
            "config: training.table_placement=sharded shares out a table of latents; "
            "use --config.model.latents=table"
        )
    return ShardedTable(num_rows)


def rows_of_a_device(num_rows: int) -> int:
    """How many rows of a table that is shared out a device has."""
    return -(-num_rows // jax.device_count())
