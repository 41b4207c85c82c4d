"""Streams of batches: what a step gets, on which devices, and what can happen to those who read."""

import multiprocessing
import os
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest

from dfm_flax.data.image_sets import open_image_source
from dfm_flax.data.image_source import ImageSet, MemorySource
from dfm_flax.data.shuffling import HostOrder, shuffled_batch
from dfm_flax.data.stream import ReaderLost, ShuffledRows, batches, num_workers
from dfm_flax.errors import UsageError

IMAGES = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
SOURCE = MemorySource(ImageSet("numbers", IMAGES, np.zeros(50, np.int32), 1))
KEY = jax.random.PRNGKey(3)
BATCH = 12
ORDER = HostOrder.create(KEY, 50, 40 * BATCH)


def first(rows, start, count, workers=0):
    with batches(rows, start, workers) as read:
        return [next(read).reshape(-1) for _ in range(count)]


@pytest.mark.parametrize("places", [[(0, 1, 2, 3)], [(0, 1), (2, 3)], [(3,), (1,), (0,), (2,)]])
def test_together_the_processes_read_each_batch_once(places):
    """From a step on, whichever devices they drive: the batch of the devices' own order."""
    parts = [first(ShuffledRows(SOURCE, ORDER, BATCH, 4, mine), 7, 9) for mine in places]
    devices = [device for mine in places for device in mine]
    expected = jax.jit(jax.vmap(lambda step: shuffled_batch(KEY, step, 50, BATCH)))
    for i, batch in enumerate(expected(np.arange(7, 16))):
        shares = np.concatenate([part[i] for part in parts]).reshape(4, 3)
        np.testing.assert_array_equal(shares[np.argsort(devices)].reshape(-1), batch)


def test_no_image_is_lost_or_seen_twice_on_other_devices():
    """An epoch of 50 that one device begins and four devices, of two processes, end."""
    alone = first(ShuffledRows(SOURCE, ORDER, 10, 1, (0,)), 0, 2)
    two = [first(ShuffledRows(SOURCE, ORDER, 10, 2, (i,)), 2, 3) for i in range(2)]
    seen = np.concatenate([*alone, *two[0], *two[1]])
    np.testing.assert_array_equal(np.sort(seen), np.arange(50))


def test_workers_give_the_same_and_end_with_the_context():
    """Processes of their own, which no signal of a terminal ends."""
    rows = ShuffledRows(SOURCE, ORDER, BATCH, 1, (0,))
    with batches(rows, 3, 2) as read:
        given = [next(read).reshape(-1) for _ in range(2)]  # one of each: both have started
        workers = multiprocessing.active_children()
        assert len(workers) == 2
        for worker in workers:
            os.kill(worker.pid, signal.SIGINT)
            os.kill(worker.pid, signal.SIGTERM)
        given += [next(read).reshape(-1) for _ in range(11)]
        for worker in workers:
            worker.kill()
        with pytest.raises(ReaderLost, match=r"a process that reads images died .*go.* on"):
            list(read)
    np.testing.assert_array_equal(given, first(rows, 3, 13))
    assert not multiprocessing.active_children()


DYING = """
import multiprocessing
from dfm_flax.errors import DfmError
from tests.data.test_stream import BATCH, ORDER, SOURCE, ShuffledRows, batches

try:
    with batches(ShuffledRows(SOURCE, ORDER, BATCH, 1, (0,)), 0, 1) as read:
        next(read)
        (worker,) = multiprocessing.active_children()
        worker.kill()
        list(read)
except DfmError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_worker_that_dies_leaves_one_line():
    """What it shared is removed by Python, which says nothing of that below our message."""
    # Fresh, as what Python says when it ends is of all that it has begun.
    process = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True)
    assert process.stdout.startswith("a process that reads images died")
    assert "leaked" not in process.stderr


def test_a_damaged_image_is_named(class_folder):
    source = open_image_source(f"folder:{class_folder}", size=8)
    (class_folder / "train" / "class b" / "0.png").write_bytes(b"no image")
    order = HostOrder.create(KEY, len(source), 60)
    with pytest.raises(UsageError, match=r"class b/0.png: not an image"):
        first(ShuffledRows(source, order, 10, 1, (0,)), 0, 3)


def test_number_of_workers():
    assert num_workers(0) == 0
    assert num_workers(40) == 40
    assert 1 <= num_workers(-1) <= max(1, min(16, os.cpu_count() - 1))
    with pytest.raises(UsageError, match=r"config.data.workers=-2"):
        num_workers(-2)
