"""How fast images are streamed from the disk, how much memory that takes, and tf.data beside it.

    python -m dfm_flax.benchmarks.streams FOLDER --images 200000

Makes a set of 64x64 color PNGs in FOLDER once, as ArrayRecord files and, for tf.data, as TFRecord
files of the same records. Then it streams an epoch in batches, looking at the memory of this
process and of its workers; lets both pipelines take turns of some seconds each; and has steps of
25 to 200 ms wait for their batches. Writes FOLDER/streams.json and FOLDER/memory.png; interrupted,
the same command goes on with what is missing there.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import PIL.Image
import psutil
from tqdm import tqdm

from dfm_flax.data.image_sets import open_image_source
from dfm_flax.data.image_source import ImageSource
from dfm_flax.data.record_source import IMAGE_KEY, LABEL_KEY
from dfm_flax.data.shuffling import HostOrder
from dfm_flax.data.stream import Rows, ShuffledRows, batches
from dfm_flax.files import atomic_path

_SIDE, _CHANNELS = 64, 3
_DISTINCT = 2_000  # images; the others repeat them
_SHARDS = 20
_STEPS = 100  # that wait for their batches
_AHEAD = 10  # batches, more than the stream reads ahead
_NAME = "benchmark"
_FORMATS = {"array_record": "ArrayRecord", "tfrecord": "TFRecord"}


def make_set(folder: Path, num_images: int) -> None:
    """The same records in both formats, with what TFDS needs to read them, where they are not."""
    import tensorflow as tf
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter

    rng = np.random.default_rng(0)
    records = [_record(rng, i) for i in tqdm(range(_DISTINCT), "images", disable=None)]
    lengths = [len(range(shard, num_images, _SHARDS)) for shard in range(_SHARDS)]
    for kind in _FORMATS:
        place = folder / kind / _NAME / "1.0.0"
        if (place / "dataset_info.json").exists():  # which is written last
            continue
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        template = tfds.core.ShardedFileTemplate(
            data_dir=place,
            template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            dataset_name=_NAME,
            split="train",
            filetype_suffix=kind,
        )
        for shard in tqdm(range(_SHARDS), kind, disable=None):
            path = str(place / f"{_NAME}-train.{kind}-{shard:05}-of-{_SHARDS:05}")
            writer = (
                ArrayRecordWriter(path, "group_size:1")
                if kind == "array_record"
                else tf.io.TFRecordWriter(path)
            )
            for i in range(shard, num_images, _SHARDS):
                writer.write(records[i % _DISTINCT])
            writer.close()
        features = {
            IMAGE_KEY: tfds.features.Image(shape=(_SIDE, _SIDE, _CHANNELS)),
            LABEL_KEY: tfds.features.ClassLabel(num_classes=10),
        }
        split = tfds.core.SplitInfo(
            name="train",
            shard_lengths=lengths,
            num_bytes=num_images * len(records[0]),
            filename_template=template,
        )
        tfds.folder_dataset.write_metadata(
            data_dir=place,
            features=tfds.features.FeaturesDict(features),
            split_infos=[split],
            version="1.0.0",
            filename_template=template,
            check_data=False,
        )


def _record(rng: np.random.Generator, index: int) -> bytes:
    """Smooth colors and some noise, about as large as a photo is as a PNG."""
    from tensorflow_datasets.proto import tf_example_pb2

    coarse = PIL.Image.fromarray(rng.integers(0, 256, (6, 6, _CHANNELS), np.uint8))
    smooth = np.asarray(coarse.resize((_SIDE, _SIDE), PIL.Image.Resampling.BICUBIC), int)
    pixels = np.clip(smooth + rng.integers(-4, 5, smooth.shape), 0, 255).astype(np.uint8)
    png = io.BytesIO()
    PIL.Image.fromarray(pixels).save(png, "PNG")
    example = tf_example_pb2.Example()
    example.features.feature[IMAGE_KEY].bytes_list.value.append(png.getvalue())
    example.features.feature[LABEL_KEY].int64_list.value.append(index % 10)
    return bytes(example.SerializeToString())


@contextlib.contextmanager
def streamed(source: ImageSource, batch_size: int, workers: int) -> Iterator[Iterator[Rows]]:
    """Batches as training reads them."""
    order = HostOrder.create(jax.random.PRNGKey(0), len(source), 10 * len(source))
    with batches(ShuffledRows(source, order, batch_size, 1, (0,)), 0, workers) as read:
        yield read


def tf_data(folder: Path, batch_size: int) -> Iterator[Rows]:
    """TFDS's own pipeline: files in turn, a buffer that shuffles, decoded in parallel threads."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    dataset = tfds.builder(_NAME, data_dir=str(folder / "tfrecord")).as_dataset(
        "train",
        shuffle_files=True,
        read_config=tfds.ReadConfig(try_autocache=False),
    )
    dataset = dataset.shuffle(10_000).repeat().batch(batch_size).prefetch(tf.data.AUTOTUNE)
    for batch in dataset.as_numpy_iterator():
        yield batch[IMAGE_KEY]


def epoch(source: ImageSource, batch_size: int, workers: int) -> dict[str, Any]:
    """One epoch: images a second, and gigabytes of each process every some seconds."""
    memory: list[tuple[float, float, float]] = []
    start = last = time.perf_counter()
    with streamed(source, batch_size, workers) as read:
        steps = len(source) // batch_size
        for _ in tqdm(range(steps), "epoch", disable=None):
            next(read)
            now = time.perf_counter()
            if now - last > 2 or not memory:
                last = now
                memory.append((now - start, *_gigabytes()))
    seconds = time.perf_counter() - start
    return {
        "images": steps * batch_size,
        "seconds": seconds,
        "images_per_second": steps * batch_size / seconds,
        "memory": memory,
    }


def _gigabytes() -> tuple[float, float]:
    """Of this process, and of all its workers together."""
    ours = psutil.Process().memory_info().rss
    return ours / 1e9, sum(each.memory_info().rss for each in _workers()) / 1e9


def _workers() -> list[psutil.Process]:
    return [psutil.Process(each.pid) for each in multiprocessing.active_children()]


def take_turns(
    source: ImageSource, folder: Path, batch_size: int, workers: int, rounds: int, seconds: float
) -> dict[str, Any]:
    """What both pipelines give and take, each running while the other rests."""
    turns: dict[str, list[dict[str, float]]] = {"stream": [], "tf.data": []}
    for _ in range(rounds):
        with streamed(source, batch_size, workers) as read:
            turns["stream"].append(_turn(read, batch_size, seconds))
        turns["tf.data"].append(_turn(tf_data(folder, batch_size), batch_size, seconds))
    medians = {
        name: {what: statistics.median(turn[what] for turn in found) for what in found[0]}
        for name, found in turns.items()
    }
    ratios = {
        what: [ours[what] / theirs[what] for ours, theirs in zip(*turns.values(), strict=True)]
        for what in ("images_per_second", "cpu_ms_per_image")
    }
    return {"turns": turns, "medians": medians, "stream over tf.data": ratios}


def _turn(read: Iterator[Rows], batch_size: int, seconds: float) -> dict[str, float]:
    for _ in range(_AHEAD):  # by then all processes are there, and what was read ahead is gone
        next(read)
    count, start, used = 0, time.perf_counter(), _cpu_seconds()
    while (passed := time.perf_counter() - start) < seconds:
        next(read)
        count += 1
    images = count * batch_size
    ours, workers = (now - before for now, before in zip(_cpu_seconds(), used, strict=True))
    return {
        "images_per_second": images / passed,
        "cpu_ms_per_image": 1e3 * (ours + workers) / images,
        "of_workers": 1e3 * workers / images,
    }


def _cpu_seconds() -> tuple[float, float]:
    """Of this process, and of its workers, which live on."""
    ours, *workers = (each.cpu_times() for each in (psutil.Process(), *_workers()))
    return ours.user + ours.system, sum(each.user + each.system for each in workers)


def waits(source: ImageSource, batch_size: int, workers: int, steps: int) -> list[dict[str, Any]]:
    """How many steps of some milliseconds find their batch ready."""
    rows = []
    for milliseconds in (25, 50, 100, 200):
        with streamed(source, batch_size, workers) as read:
            next(read)
            late, waited = 0, 0.0
            for _ in range(steps):
                time.sleep(milliseconds / 1e3)
                asked = time.perf_counter()
                next(read)
                took = time.perf_counter() - asked
                late += took > 0.05 * milliseconds / 1e3
                waited += took
        share = waited / (waited + steps * milliseconds / 1e3)
        rows.append(
            {
                "step_ms": milliseconds,
                "batch": batch_size,
                "ready_percent": 100 * (1 - late / steps),
                "waiting_percent": 100 * share,
            }
        )
    return rows


def _draw(memory: Sequence[Sequence[float]], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    seconds, ours, workers = zip(*memory, strict=True)
    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    axes.plot(seconds, ours, label="training process")
    axes.plot(seconds, workers, label="workers")
    axes.set(xlabel="seconds of an epoch", ylabel="gigabytes", ylim=(0, None))
    axes.legend()
    figure.savefig(file, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    make_set(options.folder, options.images)
    source = open_image_source(_NAME, "train", str(options.folder / "array_record"))
    arguments = source, options.batch_size, options.workers
    parts: dict[str, Callable[[], Any]] = {
        "epoch": lambda: epoch(*arguments),
        "waits": lambda: waits(*arguments, _STEPS),
        "turns": lambda: take_turns(
            source,
            options.folder,
            options.batch_size,
            options.workers,
            options.rounds,
            options.seconds,
        ),
    }
    file = options.folder / "streams.json"
    measured = json.loads(file.read_text()) if file.exists() else {}
    for name, measure in parts.items():
        if name not in measured:
            begin = os.getloadavg()[0]
            measured[name] = {"found": measure(), "load": [begin, os.getloadavg()[0]]}
            with atomic_path(file) as path:
                path.write_text(json.dumps(measured, indent=1) + "\n")
    memory = measured["epoch"]["found"].pop("memory")
    _draw(memory, options.folder / "memory.png")
    print(json.dumps(measured, indent=1))
    _, ours, workers = zip(*memory, strict=True)
    print(f"at most {max(ours):.2f} GB in this process and {max(workers):.2f} GB in its workers")


if __name__ == "__main__":
    main()
