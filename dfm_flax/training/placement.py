"""How a state lies on the devices: a copy on each, or its table of latents shared out by rows.

On the disk a table is one array of all rows: what is saved on some devices goes on on others.
"""

import abc
import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Shaped

from dfm_flax import cluster
from dfm_flax.errors import UsageError
from dfm_flax.training.rows import BLOCK, Rows
from dfm_flax.training.state import TrainState
from dfm_flax.training.step import first_replica, local_places, place_rows, replicate

PLACEMENTS = ("replicated", "sharded")


class Placement(abc.ABC):
    """Puts what a process has of a state, as NumPy arrays, on its devices, and gets it from there.

    Attributes:
      needs_all: whether a process has a part only, which is its own to save and restore; else
        each has all.
    """

    needs_all: bool

    @abc.abstractmethod
    def part(self, whole: TrainState) -> TrainState:
        """What this process has of a state."""

    @abc.abstractmethod
    def put(self, part: TrainState) -> Any:
        """The state on the local devices, with a leading axis."""

    @abc.abstractmethod
    def get(self, state: Any) -> TrainState:
        """What this process has, from its devices."""

    @abc.abstractmethod
    def whole(self, part: TrainState) -> TrainState:
        """The state; all processes that have a part only ask together, and process 0 gets it."""


class Replicated(Placement):
    """Each device has all of the state."""

    needs_all = False

    def part(self, whole: TrainState) -> TrainState:
        """See `Placement.part`."""
        return whole

    def put(self, part: TrainState) -> Any:
        """See `Placement.put`."""
        return replicate(part)

    def get(self, state: Any) -> TrainState:
        """See `Placement.get`."""
        return first_replica(state)

    def whole(self, part: TrainState) -> TrainState:
        """See `Placement.whole`."""
        return part


class ShardedTable(Placement):
    """Each device has an equal part of the table's rows, in order, and all else.

    What the parts have beyond the last row is 0 and is never asked for.

    Raises:
      UsageError: a process has other devices than the next ones after those of the process before.
    """

    needs_all = True

    def __init__(self, num_rows: int):
        self._num_rows = num_rows
        self._rows = rows_of_a_device(num_rows)
        process, devices = cluster.place()[0], jax.local_device_count()
        self._order = [place - process * devices for place in local_places().values()]
        if sorted(self._order) != list(range(devices)):
            raise UsageError(
                "config: training.table_placement=sharded needs as many devices in each process, "
                "one after the other as pmap orders them; use replicated"
            )

    def part(self, whole: TrainState) -> TrainState:
        """See `Placement.part`; of the table `Rows`."""
        size = self._rows * len(self._order)
        return _with_table(whole, jax.tree.map(lambda leaf: Rows.of(leaf, size), whole.table))

    def put(self, part: TrainState) -> Any:
        """See `Placement.put`."""
        table = jax.tree.map(self._placed, part.table)
        return _with_table(replicate(_with_table(part, None)), table)

    def get(self, state: Any) -> TrainState:
        """See `Placement.get`."""
        return _with_table(
            first_replica(_with_table(state, None)), jax.tree.map(self._fetched, state.table)
        )

    def whole(self, part: TrainState) -> TrainState:
        """See `Placement.whole`; in the other processes the table is missing."""
        return _with_table(part, jax.tree.map(Rows.whole, part.table))

    def _placed(self, rows: Rows) -> Shaped[jax.Array, "devices rows *row"]:
        parts = rows.own.reshape(len(self._order), self._rows, *rows.own.shape[1:])
        return place_rows(parts[self._order])

    def _fetched(self, leaf: Shaped[jax.Array, "devices rows *row"]) -> Rows:
        own = np.zeros((len(self._order), self._rows, *leaf.shape[2:]), leaf.dtype)
        place_of, first = local_places(), cluster.place()[0] * len(self._order)
        for shard in leaf.addressable_shards:
            own[place_of[shard.device] - first] = np.asarray(shard.data)[0]
        return Rows(self._num_rows, own.reshape(-1, *leaf.shape[2:]))


def _with_table(state: Any, table: Any) -> Any:
    return dataclasses.replace(state, table=table)


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
    """How many rows of a table that is shared out a device has: whole blocks."""
    return -(-num_rows // (BLOCK * jax.device_count())) * BLOCK
