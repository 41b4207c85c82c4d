"""Batches of images read as they are needed, by Grain, in the order of `shuffling`.

The images of a step follow from the key of the order and the step alone, so the state of a stream
is the number of steps done: one that is opened at a step goes on as if it had never stopped, and a
process that drives other devices than before reads other rows of the same batches.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TypeAlias

import grain
import numpy as np
import PIL.Image
from absl import flags
from jaxtyping import UInt8

from dfm_flax.data.decoding import allow_pixels
from dfm_flax.data.image_source import ImageSource
from dfm_flax.data.shuffling import HostOrder
from dfm_flax.errors import GO_ON, DfmError, UsageError, one_line

AUTO_WORKERS = -1
MAX_STEPS = 2**31
_MOST_WORKERS = 16
_THREADS, _BATCHES_AHEAD = 2, 2  # of each worker
_QUIET = "ignore::UserWarning:multiprocessing.resource_tracker"

Rows: TypeAlias = UInt8[np.ndarray, "rows height width channels"]


class ReaderLost(DfmError):
    """A process that reads images died, such as by the system when memory is short."""

    exit_code = GO_ON


@dataclass(frozen=True, eq=False)
class ShuffledRows:
    """The rows that one process reads of all batches, by the step.

    Each batch is shared out over devices in equal parts; `places` are the parts of our devices.

    Attributes:
      source: of the images.
      order: of their indices.
      batch_size: images of a whole batch.
      num_devices: that share it.
      places: which of them are ours, from 0 on.
    """

    source: ImageSource
    order: HostOrder
    batch_size: int
    num_devices: int
    places: tuple[int, ...]

    def __len__(self) -> int:
        """No end, as Grain leaves shared memory behind where it comes to one."""
        return MAX_STEPS

    def __getitem__(self, step: int) -> Rows:
        """The rows of our devices, one device after the other."""
        share = self.batch_size // self.num_devices
        starts = step * self.batch_size + share * np.array(self.places)
        positions = (starts[:, np.newaxis] + np.arange(share)).reshape(-1)
        return np.stack([self.source[int(index)][0] for index in self.order(positions)])


@contextlib.contextmanager
def batches(rows: ShuffledRows, start: int, workers: int) -> Iterator[Iterator[Rows]]:
    """Our rows of the batches from step `start` on, read ahead while the context lasts.

    Args:
      workers: processes that read and decode; 0 for threads of this one.

    Raises:
      UsageError: an image is missing or damaged.
      ReaderLost: a worker died.
    """
    flags.FLAGS.mark_as_parsed()  # Grain asks for its own, which no command of ours has
    if workers:
        _start_quiet_tracker()
    # Threads wait for the disk, mostly: decoding holds on to Python's lock.
    threads = grain.ReadOptions(num_threads=_THREADS, prefetch_buffer_size=_BATCHES_AHEAD)
    read = grain.MapDataset.source(rows)[start:].to_iter_dataset(threads)
    init = functools.partial(_start_worker, PIL.Image.MAX_IMAGE_PIXELS)
    options = grain.MultiprocessingOptions(workers, per_worker_buffer_size=_BATCHES_AHEAD)
    iterator = iter(read.mp_prefetch(options, worker_init_fn=init))
    told = _told(iterator)
    try:
        yield told
    finally:
        told.close()
        iterator.close()


def _told(iterator: Iterator[Rows]) -> Generator[Rows, None, None]:
    """The same with errors that a user understands."""
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except RuntimeError as error:  # Grain's own, of a worker that is gone
            raise ReaderLost(
                f"a process that reads images died ({one_line(error)[:120]}); the same command "
                "goes on from the newest checkpoint. If memory was short, use fewer "
                "--config.data.workers"
            ) from error
        yield batch


def num_workers(asked: int) -> int:
    """How many processes read, of `AUTO_WORKERS` all cores but one and at most 16.

    Raises:
      UsageError: there cannot be so many.
    """
    if asked < AUTO_WORKERS:
        raise UsageError(
            f"config.data.workers={asked}: a number of processes, 0 for threads, or -1 for as "
            "many as there are cores for"
        )
    if asked != AUTO_WORKERS:
        return asked
    return min(_MOST_WORKERS, max(1, len(os.sched_getaffinity(0)) - 1))


def _start_quiet_tracker() -> None:
    """Starts the process by which Python removes shared memory that nobody else did.

    A worker that dies leaves some behind, and a message of Python's below ours would be as long.
    """
    sys.warnoptions.append(_QUIET)
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(_QUIET)


def _start_worker(max_pixels: int | None, index: int, count: int) -> None:
    """Makes a worker live as long as the process that it reads for, and no longer.

    A signal from a terminal or a cluster comes to all processes of a run; it is the training that
    answers it, and until then it needs its images.
    """
    allow_pixels(max_pixels)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
