"""Data sets of tensorflow-datasets (TFDS) on the disk: found, downloaded, checked and read."""

import contextlib
import difflib
import functools
import json
import logging
import operator
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from tqdm import tqdm

from dfm_flax import tensorflow_log
from dfm_flax.data.images import Image, prepare
from dfm_flax.data.memory import check_fits
from dfm_flax.data.parts import bounds
from dfm_flax.data.record_source import FILES_KEY, RecordSource, Shard, size_and_digest
from dfm_flax.errors import UsageError
from dfm_flax.files import local_path

tensorflow_log.silence()

log = logging.getLogger(__name__)

NOTE_FILE = "dfm_import.json"  # in the folder of a set: where it was imported from
_MAIN_SPLITS = ("train", "validation", "test")


def open_builder(name: str, data_dir: str = "") -> Any:
    """TFDS's builder of a set, such as "mnist" or "emnist/letters"; "" is TFDS's own folder.

    Raises:
      UsageError: TFDS has no such set, or it is no set of images.
    """
    import tensorflow_datasets as tfds

    if not re.fullmatch(r"\w+(/[\w.+-]+)?(:[\d.*]+)?", name):  # TFDS has names of other sites
        raise UsageError(_no_such_set(name))
    try:
        builder = tfds.builder(name, data_dir=str(local_path(data_dir)) if data_dir else None)
    except tfds.core.registered.DatasetNotFoundError:
        raise UsageError(_no_such_set(name)) from None
    except Exception as error:  # a wrong config or version raises nearly anything
        _check_config(name)
        reason = re.sub(r'^Failed to construct dataset ".*?}": ', "", _one_line(error))
        folder = root(data_dir) / re.split("[/:]", name)[0]
        if folder.is_dir():  # TFDS reads its facts already here
            raise UsageError(_damaged(folder, f"or is no {name}: {reason}")) from error
        raise UsageError(f"data set {name}: {reason}") from error
    features = builder.info.features
    image = features["image"] if "image" in (features or ()) else None
    if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
        raise UsageError(f"data set {name}: has no images of 8 bits")
    return builder


def _no_such_set(name: str) -> str:
    import tensorflow_datasets as tfds

    near = difflib.get_close_matches(name, ["digits", *tfds.list_builders()], n=1)
    question = f"; did you mean {near[0]}?" if near else ":"
    return (
        f"no data set {name!r}{question} there are digits, folder:PATH, the sets of images in "
        "tensorflow-datasets, and what `dfm data import` has made"
    )


def _check_config(name: str) -> None:
    """Raises UsageError where a set has no config of the name behind the slash."""
    import tensorflow_datasets as tfds

    set_name, _, config = name.partition(":")[0].partition("/")
    configs = tfds.builder_cls(set_name).builder_configs
    if config and config not in configs:
        near = difflib.get_close_matches(config, configs, n=12, cutoff=0)
        raise UsageError(f"data set {set_name}: no {name}; there are {', '.join(near) or 'none'}")


def is_known(name: str) -> bool:
    """Whether TFDS has the code of a set, wherever its files are."""
    import tensorflow_datasets as tfds

    return name.partition("/")[0] in tfds.list_builders()


def is_importable(builder: Any) -> bool:
    """Whether `dfm data import` can write a set: one of images and labels alone."""
    return set(builder.info.features) - {"id"} == {"image", "label"}


def find_folder(builder: Any) -> Path | None:
    """The folder of a set that is whole, None where there is none.

    TFDS writes a set beside its folder and renames it, so half of one has another name. A
    folder that lacks what TFDS writes last, or a shard, comes from elsewhere, such as a copy that
    was interrupted.

    Raises:
      UsageError: there is a folder, but it is not whole.
    """
    folder = Path(builder.data_dir)
    if not folder.is_dir():
        return None
    wanted = [folder / "dataset_info.json", folder / "features.json"]
    wanted += [Path(path) for split in builder.info.splits.values() for path in split.filepaths]
    missing = [path.name for path in wanted if not path.exists()]
    if missing or not builder.info.splits:
        raise UsageError(
            f"{folder} is incomplete ({', '.join(missing[:3]) or 'its splits'} missing); "
            "remove it, then download or import the set again"
        )
    return folder


def download(builder: Any, file_format: str | None = None) -> None:
    """Has TFDS download and prepare a set; its messages go to the standard error.

    Args:
      file_format: TFDS's name of that of the files; None for its default.

    Raises:
      UsageError: there is no internet, or TFDS cannot download it.
    """
    name, top = full_name(builder), Path(builder.data_dir_root)
    if is_importable(builder):
        place = "" if top == root("") else f" --data-dir {top}"
        way_out = f"import it from local files: dfm data import {name} SOURCE{place}"
    else:
        way_out = (
            "copy that folder from where TFDS has made it, or use a folder of its images: "
            "config.data.name=folder:PATH"
        )
    if not _can_reach(builder):
        raise UsageError(
            f"data set {name} is not in {builder.data_dir} and there is no internet to "
            f"download it from; {way_out}"
        )
    log.info("downloading %s to %s", name, builder.data_dir)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(file_format=file_format)
    except Exception as error:  # anything from the network to the set's own code
        raise UsageError(
            f"data set {name}: download failed: {_one_line(error)}; {way_out}"
        ) from error


def _can_reach(builder: Any) -> bool:
    """Whether any place that has the set answers: TFDS itself would try for minutes."""
    import requests

    urls = [*list(builder.url_infos or {})[:1], "https://storage.googleapis.com/tfds-data"]
    for url in urls:
        with contextlib.suppress(requests.RequestException):
            requests.head(url, timeout=10)
            return True
    return False


def read(
    builder: Any, split: str, size: int = 0, part: tuple[int, int] = (0, 1)
) -> tuple[UInt8[np.ndarray, "images height width channels"], Int32[np.ndarray, "images"], int]:
    """Images, labels and the number of classes of a set on the disk.

    The order is the stored one, always the same. Without labels, all are 0 of one class.

    Args:
      builder: as `open_builder` gives it, of a set that `find_folder` finds.
      split: "all" for train, validation and test, as far as the set has them, one after the
        other, or what TFDS takes, such as "test" or "train[:1000]".
      size: the shorter side is resized to it and the center cut out, size x size; 0 keeps.
      part: (i, n) reads the i-th of n equal parts; nothing of the others is decoded.

    Raises:
      UsageError: no such split, images of different sizes, more than fits into memory, or
        the files are damaged.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    with contextlib.suppress(RuntimeError):  # TensorFlow runs already, with the GPU or without
        tf.config.set_visible_devices([], "GPU")  # the GPU's memory is for JAX
    split, total = _resolve_split(builder, split)
    first, last = bounds(total, part)
    count = last - first
    shape = _image_shape(builder, size)
    what = f"data set {full_name(builder)}, {total:,} images,"
    check_fits(total * int(np.prod(shape)), what)
    features = builder.info.features
    label = features["label"] if "label" in features else None  # noqa: SIM401
    num_classes = label.num_classes if isinstance(label, tfds.features.ClassLabel) else 0
    dataset = builder.as_dataset(
        split=split if count == total else _slice(builder, split, first, last),
        batch_size=1 if size else 1000,  # images of different sizes make no batch
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
        decoders=tfds.decode.PartialDecoding({"image", "label"} if num_classes else {"image"}),
    )
    images, labels = np.zeros((count, *shape), np.uint8), np.zeros(count, np.int32)
    done = 0
    bar = tqdm(
        total=count,
        desc=f"reading {builder.name}",
        unit="image",
        delay=2,
        leave=False,
        disable=None,
    )
    try:
        with bar:
            for batch in dataset.as_numpy_iterator():
                rows = slice(done, done + len(batch["image"]))
                done = rows.stop
                if done > count:
                    break
                images[rows] = _resized(batch["image"], size) if size else batch["image"]
                labels[rows] = batch["label"] if num_classes else 0
                bar.update(done - rows.start)
    except tf.errors.OpError as error:
        # Without the {{node}} in front and the [Op] behind, which TensorFlow adds.
        reason = error.message.rpartition("}}")[2].partition("[Op:")[0].strip()
        raise UsageError(_damaged(builder.data_dir, _one_line(reason))) from error
    if done != count:
        raise UsageError(_damaged(builder.data_dir, f"it does not hold {count:,} images"))
    return images, labels, num_classes or 1


def is_random_access(builder: Any) -> bool:
    """Whether a set on the disk is in files whose records can be read in any order."""
    return builder.info.file_format.value == "array_record"


def num_bytes(builder: Any, split: str, size: int = 0) -> int:
    """What the images of a split of a set on the disk take in memory.

    Raises:
      UsageError: no such split, or the size of its images is not known.
    """
    return _resolve_split(builder, split)[1] * int(np.prod(_image_shape(builder, size)))


def open_source(builder: Any, name: str, split: str, size: int = 0) -> RecordSource:
    """The images of a set on the disk, to read one after the other.

    Args:
      builder, split, size: see `read`.
      name: of the set, as it was asked for.

    Raises:
      UsageError: no such split, images of different sizes, or files of another kind.
    """
    import tensorflow_datasets as tfds

    if not is_random_access(builder):
        raise UsageError(
            f"{builder.data_dir}: its {builder.info.file_format.value} files cannot be streamed, "
            "as they cannot be read in any order; use --config.data.feed=device, or turn them "
            f"into others: tfds convert_format --dataset_dir={builder.data_dir} "
            "--out_file_format=array_record --out_path=FOLDER"
        )
    split, _ = _resolve_split(builder, split)
    files = builder.info.splits[split].file_instructions
    shards = [Shard(str(file.filename), file.skip, file.skip + file.take) for file in files]
    features = builder.info.features
    has_classes = "label" in features and isinstance(features["label"], tfds.features.ClassLabel)
    num_classes = features["label"].num_classes if has_classes else 0
    note = read_note(Path(builder.data_dir)) or {}
    written = {file: (length, sha256) for file, (length, sha256) in note.get(FILES_KEY, {}).items()}
    shape = _image_shape(builder, size)
    return RecordSource(name, shards, shape, num_classes or 1, size, written)


def check_files(name: str, data_dir: str = "") -> int:
    """Reads all files of a set that `dfm data import` made of a folder; returns how many.

    Raises:
      UsageError: one is not as it was written, or nobody noted how.
    """
    folder = find_folder(open_builder(name, data_dir))
    written = (read_note(folder) or {}).get(FILES_KEY) if folder else None
    if folder is None or not written:
        raise UsageError(f"data set {name}: is none that `dfm data import` made of a folder")
    for file, (num_bytes, sha256) in tqdm(written.items(), f"checking {name}", disable=None):
        try:
            is_same = size_and_digest(folder / file) == (num_bytes, sha256)
        except OSError as error:
            raise UsageError(_damaged(folder, f"{file}: {error.strerror}")) from error
        if not is_same:
            raise UsageError(_damaged(folder, f"{file} is not as it was written"))
    return len(written)


def _resolve_split(builder: Any, split: str) -> tuple[str, int]:
    """A split as TFDS takes it, and its number of images."""
    splits = builder.info.splits
    if split == "all":
        split = "+".join([name for name in _MAIN_SPLITS if name in splits] or sorted(splits))
    try:
        return split, splits[split].num_examples
    except Exception as error:  # ValueError, KeyError, AssertionError by what is wrong in it
        raise UsageError(
            f"data set {full_name(builder)}: no split {split!r}; "
            f"it has all, {', '.join(sorted(splits))}"
        ) from error


def _slice(builder: Any, split: str, first: int, last: int) -> Any:
    """TFDS's instruction to read examples `first` to `last` of a split, which may be a sum."""
    from tensorflow_datasets.core import ReadInstruction

    splits, slices, start = builder.info.splits, [], 0
    for piece in ReadInstruction.from_spec(split).to_absolute(splits):
        begin = piece.from_ or 0  # None is the split's beginning, or its end
        stop = splits[piece.splitname].num_examples if piece.to is None else piece.to
        end = start + stop - begin
        if first < end and start < last:
            shift = begin - start
            ours = {"from_": max(first, start) + shift, "to": min(last, end) + shift}
            slices.append(ReadInstruction(piece.splitname, **ours, unit="abs"))
        start = end
    return functools.reduce(operator.add, slices)


def _image_shape(builder: Any, size: int) -> tuple[int, int, int]:
    height, width, channels = builder.info.features["image"].shape
    if size:
        height = width = size
    if None in (height, width) or channels not in (1, 3):
        raise UsageError(
            f"data set {full_name(builder)}: its images have {height} x {width} pixels of "
            f"{channels} channels; give a size where pixels are None, 1 or 3 channels are needed"
        )
    return height, width, channels


def _resized(
    batch: UInt8[np.ndarray, "1 height width channels"], size: int
) -> UInt8[np.ndarray, "1 {size} {size} channels"]:
    """A batch of one image with its center brought to size x size."""
    image = prepare(Image((batch[0] / 255).astype(np.float32), 255, ""), size, (size, size))
    return np.rint(image.pixels * 255).astype(np.uint8)[np.newaxis]


def read_note(folder: Path) -> dict[str, Any] | None:
    """What `dfm data import` noted of a set that it wrote; None for a set from elsewhere."""
    try:
        note = json.loads((folder / NOTE_FILE).read_text())
        if not {"kind", "lossy"} <= note.keys():
            raise ValueError("lacks what an import notes")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(_damaged(folder, f"{NOTE_FILE}: {_one_line(error)}")) from error
    return note


def list_sets(data_dir: str = "") -> list[dict[str, Any]]:
    """Facts of each set in a folder of TFDS: name, version, images by split, bytes, source.

    Those whose facts cannot be read are left out, with a warning.
    """
    top, found = root(data_dir), []
    files = [*top.glob("*/*/dataset_info.json"), *top.glob("*/*/*/dataset_info.json")]
    for file in sorted(files):
        try:
            found.append(_describe(top, file))
        except UsageError as error:
            log.warning("%s", error)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning(_damaged(file.parent, _one_line(error)))
    return found


def _describe(root: Path, info_file: Path) -> dict[str, Any]:
    splits = json.loads(info_file.read_text())["splits"]
    *name, version = info_file.parent.relative_to(root).parts
    note = read_note(info_file.parent)
    counts = [(split["name"], sum(map(int, split["shardLengths"]))) for split in splits]
    return {
        "name": "/".join(name),
        "version": version,
        "images": ", ".join(f"{split} {count:,}" for split, count in counts),
        "MB": sum(int(split["numBytes"]) for split in splits) / 1e6,
        "source": note["kind"] if note else "TFDS",
    }


def full_name(builder: Any) -> str:
    config = builder.builder_config
    return builder.name if config is None else f"{builder.name}/{config.name}"


def root(data_dir: str) -> Path:
    """Where TFDS keeps its sets."""
    import tensorflow_datasets as tfds

    return local_path(data_dir or tfds.core.constants.DATA_DIR)


def _damaged(folder: str | Path, reason: str) -> str:
    return f"{folder} is damaged ({reason}); remove it, then download or import the set again"


def _one_line(error: BaseException | str) -> str:
    return " ".join(str(error).split())[:300]
