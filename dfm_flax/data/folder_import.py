"""A folder of images, of any number, as a set of ArrayRecord files that can be streamed.

The files are written in shards, each by a process of its own into a folder beside the set, with a
note of what is in it. An import that was interrupted goes on with the shards that are missing.
"""

import concurrent.futures
import hashlib
import io
import json
import logging
import multiprocessing
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from tqdm import tqdm

from dfm_flax.data.class_folders import Entry, arrange, list_folder
from dfm_flax.data.decoding import allow_pixels
from dfm_flax.data.image_sets import is_held_out
from dfm_flax.data.images import Image, decode_image, prepare, to_pillow
from dfm_flax.data.record_source import FILES_KEY, IMAGE_KEY, LABEL_KEY, size_and_digest
from dfm_flax.data.stream import num_workers
from dfm_flax.data.tfds import NOTE_FILE, root
from dfm_flax.errors import DfmError, UsageError
from dfm_flax.files import atomic_path, check_writable

log = logging.getLogger(__name__)

VERSION = "1.0.0"
_IMAGES_IN_SHARD = 2_000
_KEPT_FORMATS = {"JPEG", "PNG"}  # files that TFDS's own readers know
_LOSSY_FORMATS = {"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"}
_DAMAGED, _NAMED = "damaged.txt", 5  # the file of all damaged ones, and how many a message names


@dataclass(frozen=True)
class _Job:
    """A shard that is to be written.

    Attributes:
      folder: which the paths of its images are below.
      labels: of the images.
      has_classes: whether the labels mean something.
      size: that they are brought to; 0 keeps theirs.
      file: to be written.
      inputs: a digest of all that goes into it, by the sizes and times of files.
    """

    folder: str
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    has_classes: bool
    size: int
    file: str
    inputs: str


@dataclass(frozen=True)
class _Shard:
    """What is in a shard.

    Attributes:
      inputs: of its job.
      records: images in it.
      bytes, sha256: of its file.
      content: bytes of its records.
      damaged: files that could not be read, each with the reason.
      shapes: of its images, [height, width], each once.
      channels: the most of an image.
      formats: of the files that the images come from.
    """

    inputs: str
    records: int
    bytes: int
    sha256: str
    content: int
    damaged: list[str]
    shapes: list[list[int]]
    channels: int
    formats: list[str]


def import_folder(
    name: str,
    source: Path,
    data_dir: str = "",
    *,
    size: int = 0,
    skip_damaged: bool = False,
    workers: int = -1,
) -> Path:
    """Makes a set of a folder of images, as `open_image_source` and TFDS read it by its name.

    Folders are splits or classes as for "folder:PATH"; where there are no splits, about a fifth
    is "test" by the CRC-32 of its path. Files of JPEG and PNG are kept as they are, others become
    PNG; with a size all do. Every image is decoded once, so that none is found to be damaged later.

    Args:
      name: of the set, lower case letters, digits and underscores.
      source: the folder.
      data_dir: where TFDS keeps its data; "" is TFDS's default.
      size: the shorter side of each image is resized to it and the center cut out; 0 keeps.
      skip_damaged: whether images that cannot be read are left out.
      workers: processes that decode, see `stream.num_workers`.

    Returns:
      The folder of the set.

    Raises:
      UsageError: the set exists already, the folder cannot be used, or images are damaged. What
        was done is kept, and the same command goes on from there.
      DfmError: it could not be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UsageError(
            f"data set {name!r}: a name consists of lower case letters, digits and underscores"
        )
    if size < 0:
        raise UsageError(f"--size {size} is no number of pixels; 0 keeps the size")
    folder = root(data_dir) / name / VERSION
    if folder.exists():
        raise UsageError(f"{folder} exists already; remove it to import {name} again")
    part = folder.with_name(f"{VERSION}.incomplete")
    check_writable(part / NOTE_FILE)
    entries = arrange(list_folder(source), str(source))
    jobs = _jobs(name, source.absolute(), entries, size, part)
    try:
        part.mkdir(parents=True, exist_ok=True)
        shards = _write_all(jobs, part, num_workers(workers) or 1, name)
        damaged = [line for shard in shards.values() for line in shard.damaged]
        if damaged:
            _tell(damaged, part, skip_damaged)
        _finish(name, source, part, shards, sorted({entry.class_name for entry in entries}), size)
        part.rename(folder)
    except OSError as error:
        raise DfmError(
            f"writing {part} failed: {error.strerror or error}; the same command goes on"
        ) from error
    return folder


def _jobs(
    name: str, source: Path, entries: Sequence[Entry], size: int, part: Path
) -> dict[str, _Job]:
    """The shards by the names of their files."""
    has_splits = any(entry.split for entry in entries)
    by_split: dict[str, list[Entry]] = {}
    for entry in entries:
        split = entry.split if has_splits else "test" if is_held_out(entry.path) else "train"
        by_split.setdefault(split, []).append(entry)
    class_names = sorted({entry.class_name for entry in entries})
    label = {class_name: i for i, class_name in enumerate(class_names)}
    jobs = {}
    for split, images in by_split.items():
        starts = range(0, len(images), _IMAGES_IN_SHARD)
        for i, start in enumerate(starts):
            some = images[start : start + _IMAGES_IN_SHARD]
            file = f"{name}-{split}.array_record-{i:05}-of-{len(starts):05}"
            jobs[file] = _Job(
                str(source),
                tuple(entry.path for entry in some),
                tuple(label[entry.class_name] for entry in some),
                class_names != [""],
                size,
                str(part / file),
                _inputs(source, some, size, class_names),
            )
    return jobs


def _inputs(source: Path, entries: Sequence[Entry], size: int, class_names: list[str]) -> str:
    limits = f"{source} {size} {PIL.Image.MAX_IMAGE_PIXELS} {class_names}\n"
    sha = hashlib.sha256(limits.encode())
    for entry in entries:
        try:
            status = os.stat(source / entry.path)
        except OSError as error:
            raise UsageError(f"cannot read {source / entry.path}: {error.strerror}") from error
        facts = f"{status.st_size} {status.st_mtime_ns} {entry.class_name} "
        sha.update(facts.encode() + os.fsencode(entry.path))
    return sha.hexdigest()


def _write_all(jobs: dict[str, _Job], part: Path, workers: int, name: str) -> dict[str, _Shard]:
    done = {}
    for file, job in jobs.items():
        shard = _written(part, file)
        if shard is not None and shard.inputs == job.inputs:
            done[file] = shard
    if done:
        log.info("going on with %s: %d of %d files are written", part, len(done), len(jobs))
    for path in part.iterdir():  # of an import of other files
        if path.name.removesuffix(".json") not in done:
            path.unlink()
    bar = tqdm(
        desc=f"importing {name}",
        total=sum(len(job.paths) for job in jobs.values()),
        initial=sum(len(jobs[file].paths) for file in done),
        unit="image",
        delay=1,
        leave=False,
        disable=None,
    )
    context = multiprocessing.get_context("spawn")
    with (
        bar,
        concurrent.futures.ProcessPoolExecutor(
            workers, context, allow_pixels, (PIL.Image.MAX_IMAGE_PIXELS,)
        ) as pool,
    ):
        running = {
            pool.submit(write_shard, job): file for file, job in jobs.items() if file not in done
        }
        try:
            for future in concurrent.futures.as_completed(running):
                file = running[future]
                done[file] = future.result()
                bar.update(len(jobs[file].paths))
        except concurrent.futures.process.BrokenProcessPool as error:
            raise DfmError(
                f"a process that writes {part} died, such as for want of memory; the same command "
                "goes on, with fewer --workers if need be"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return {file: done[file] for file in jobs}


def _written(part: Path, file: str) -> _Shard | None:
    """What is in a shard that is there, whole."""
    try:
        shard = _Shard(**json.loads((part / f"{file}.json").read_text()))
        found = size_and_digest(part / file)
    except (OSError, ValueError, TypeError):
        return None
    return shard if found == (shard.bytes, shard.sha256) else None


def write_shard(job: _Job) -> _Shard:
    """Writes a shard, and then what is in it; images that cannot be read are not."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    content, damaged, shapes, channels, formats = 0, [], set(), 1, set()
    writer = ArrayRecordWriter(job.file, "group_size:1")
    records = 0
    for path, label in zip(job.paths, job.labels, strict=True):
        try:
            encoded, image, kind = _encoded(Path(job.folder, path), job.size)
        except UsageError as error:
            damaged.append(str(error))
            continue
        example = tf_example_pb2.Example()
        example.features.feature[IMAGE_KEY].bytes_list.value.append(encoded)
        if job.has_classes:
            example.features.feature[LABEL_KEY].int64_list.value.append(label)
        record = example.SerializeToString()
        writer.write(record)
        records += 1
        content += len(record)
        shapes.add(image.pixels.shape[:2])
        channels = max(channels, image.pixels.shape[2])
        formats.add(kind)
    writer.close()
    num_bytes, sha256 = size_and_digest(Path(job.file))
    listed = sorted([int(height), int(width)] for height, width in shapes)
    shard = _Shard(
        job.inputs, records, num_bytes, sha256, content, damaged, listed, channels, sorted(formats)
    )
    _write_json(Path(f"{job.file}.json"), asdict(shard))
    return shard


def _encoded(path: Path, size: int) -> tuple[bytes, Image, str]:
    """The file of an image as it is stored, the image, and the format that it comes in."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read image {path}: {error.strerror}") from error
    image = decode_image(data, path)
    with PIL.Image.open(io.BytesIO(data)) as file:
        kind = file.format or ""
    if size:
        image = prepare(image, size, (size, size))
    elif kind in _KEPT_FORMATS:
        return data, image, kind
    png = io.BytesIO()
    to_pillow(np.rint(image.pixels * 255).astype(np.uint8)).save(png, "PNG")
    return png.getvalue(), image, kind


def _tell(damaged: list[str], part: Path, skip: bool) -> None:
    """Names damaged files; unless they are to be left out it ends here."""
    more = f" and {len(damaged) - _NAMED:,} more" if len(damaged) > _NAMED else ""
    listed = "; ".join(damaged[:_NAMED]) + more
    if skip:
        log.warning("left out %d damaged images: %s", len(damaged), listed)
        return
    with atomic_path(part / _DAMAGED) as path:
        path.write_text("\n".join(damaged) + "\n")
    raise UsageError(
        f"{len(damaged)} damaged images, all listed in {part / 'damaged.txt'}: {listed}; repair "
        "them, or leave them out with --skip-damaged"
    )


def _finish(
    name: str,
    source: Path,
    part: Path,
    shards: dict[str, _Shard],
    class_names: list[str],
    size: int,
) -> None:
    """Writes what tells of the set, and removes what told of its making."""
    import tensorflow_datasets as tfds

    if not sum(shard.records for shard in shards.values()):
        raise UsageError(f"{source}: not one of its images can be read")
    shapes = {tuple(shape) for shard in shards.values() for shape in shard.shapes}
    height, width = shapes.pop() if len(shapes) == 1 else (None, None)
    channels = max(shard.channels for shard in shards.values())
    features: dict[str, Any] = {"image": tfds.features.Image(shape=(height, width, channels))}
    if class_names != [""]:
        features["label"] = tfds.features.ClassLabel(names=class_names)
    template = tfds.core.ShardedFileTemplate(
        data_dir=part,
        template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        dataset_name=name,
        filetype_suffix="array_record",
    )
    tfds.folder_dataset.write_metadata(
        data_dir=part,
        features=tfds.features.FeaturesDict(features),
        split_infos=list(_split_infos(shards, template)),
        version=VERSION,
        filename_template=template,
        check_data=False,
    )
    formats = sorted({kind for shard in shards.values() for kind in shard.formats})
    note = {
        "source": source.name,
        "kind": f"{' and '.join(formats)} images" + (f" at {size}x{size}" if size else ""),
        "lossy": not _LOSSY_FORMATS.isdisjoint(formats),
        FILES_KEY: {file: [shard.bytes, shard.sha256] for file, shard in shards.items()},
    }
    _write_json(part / NOTE_FILE, note)
    for file in shards:
        (part / f"{file}.json").unlink()
    (part / _DAMAGED).unlink(missing_ok=True)


def _split_infos(shards: dict[str, _Shard], template: Any) -> Iterator[Any]:
    import tensorflow_datasets as tfds

    by_split: dict[str, list[_Shard]] = {}
    for file, shard in shards.items():
        split = file.partition(".")[0].rpartition("-")[2]
        by_split.setdefault(split, []).append(shard)
    for split, ours in by_split.items():
        yield tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.records for shard in ours],
            num_bytes=sum(shard.content for shard in ours),
            filename_template=template.replace(split=split),
        )


def _write_json(path: Path, value: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")
