"""Sets of images of one size by their names: a small built-in one, TFDS's, folders, and a user's.

They are loaded whole, or opened as a source that reads one image after the other.
"""

import logging
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfm_flax.data.class_folders import Entry, arrange, decode_entries, list_folder
from dfm_flax.data.decoding import read_header
from dfm_flax.data.folder_source import FolderSource
from dfm_flax.data.image_source import ImageSet, ImageSource, MemorySource
from dfm_flax.data.memory import check_fits
from dfm_flax.data.parts import bounds
from dfm_flax.errors import UsageError, one_line
from dfm_flax.files import local_path
from dfm_flax.registry import import_path, is_import_path

log = logging.getLogger(__name__)

DIGITS = "digits"
FOLDER_PREFIX = "folder:"


def load_image_set(
    name: str,
    split: str = "all",
    data_dir: str = "",
    size: int = 0,
    part: tuple[int, int] = (0, 1),
) -> ImageSet:
    """Loads a set of images, in an order that is always the same.

    Args:
      name: "digits", scikit-learn's 1,797 digits of 8x8 with their 0..16 scaled to 0..255;
        the name of a set in tensorflow-datasets, such as "mnist", downloaded if need be; or
        "folder:PATH", images whose sub-folders, if any, are classes by alphabet; or the import
        path "my_module:function" of a function that takes all other arguments by name.
      split: "all", "train" or "test". "all" of TFDS is train, validation and test one after the
        other, and TFDS's own forms, such as "validation" or "train[:1000]", are taken as
        well. Sets without splits hold out about a fifth as "test": the images whose name
        (for digits the position in the set, "0" on; for folders the path below PATH) has a
        CRC-32 divisible by 5. A folder with images in train/, val/ or test/ has those splits.
      data_dir: of TFDS; "" is its default, ~/tensorflow_datasets or $TFDS_DATA_DIR.
      size: if not 0, the shorter side of each image is resized to it and the center cut
        out, size x size pixels.
      part: (i, n) loads the i-th of n equal parts, in order, and reads no other image.

    Raises:
      UsageError: there is no such set or split, it cannot be downloaded or read, it is incomplete
        or damaged, its images have different sizes, or it does not fit into memory.
    """
    if size < 0:
        raise UsageError(f"data set {name}: size={size} is no number of pixels; 0 keeps the size")
    if name == DIGITS:
        return _load_digits(split, size, part)
    if name.startswith(FOLDER_PREFIX):
        return _load_folder(name, split, size, part)
    if is_import_path(name):
        return _load_of_user(name, split, data_dir, size, part)
    from dfm_flax.data import tfds

    builder = _prepared(name, data_dir)
    if tfds.is_random_access(builder):
        source = tfds.open_source(builder, name, split, size)
        check_fits(source.num_bytes, f"data set {name}, {len(source):,} images,")
        return source.images(np.arange(*bounds(len(source), part)))
    return ImageSet(name, *tfds.read(builder, split, size, part))


def open_image_source(
    name: str, split: str = "all", data_dir: str = "", size: int = 0
) -> ImageSource:
    """Opens what `load_image_set` loads, in the same order, to read one image after the other.

    Of a set of TFDS that is not on the disk yet ArrayRecord files are made. What is in memory
    anyway, such as the digits or what a user's function gives, stays there.

    Raises:
      UsageError: as `load_image_set`, or it is a set of TFDS in files that cannot be read in any
        order.
    """
    if size < 0 or name == DIGITS or is_import_path(name):
        return MemorySource(load_image_set(name, split, data_dir, size))
    if name.startswith(FOLDER_PREFIX):
        folder, entries, class_names = _entries(name, split)
        return FolderSource(name, folder, entries, class_names, size)
    from dfm_flax.data import tfds

    return tfds.open_source(_prepared(name, data_dir, "array_record"), name, split, size)


def num_bytes(name: str, split: str = "all", data_dir: str = "", size: int = 0) -> int | None:
    """What the images that `load_image_set` loads take, as far as it can be told beforehand.

    None where it cannot, as for sets that are yet to be downloaded. Of a folder the first image
    speaks for all.

    Raises:
      UsageError: there is no such set or split.
    """
    if name == DIGITS or is_import_path(name):
        return None
    if name.startswith(FOLDER_PREFIX):
        folder, entries, _ = _entries(name, split)
        try:
            first = read_header((folder / entries[0].path).read_bytes())
        except (UsageError, OSError):  # named when it is loaded
            return None
        height, width = (size, size) if size else (first.height, first.width)
        return len(entries) * height * width * first.channels
    from dfm_flax.data import tfds

    builder = tfds.open_builder(name, data_dir)
    return tfds.num_bytes(builder, split, size) if tfds.find_folder(builder) else None


def _prepared(name: str, data_dir: str, file_format: str | None = None) -> Any:
    """TFDS's builder of a set that is on the disk, downloaded if need be."""
    from dfm_flax.data import tfds

    builder = tfds.open_builder(name, data_dir)
    folder = tfds.find_folder(builder)
    if folder is None:
        tfds.download(builder, file_format)
    elif (note := tfds.read_note(folder)) and note["lossy"]:
        log.warning("%s was imported from %s, which lose detail", name, note["kind"])
    return builder


def absolute_place(name: str, data_dir: str) -> tuple[str, str]:
    """Name and `data_dir` that mean the same set wherever a process is started."""
    if name.startswith(FOLDER_PREFIX) and name != FOLDER_PREFIX:
        name = f"{FOLDER_PREFIX}{local_path(name.removeprefix(FOLDER_PREFIX)).absolute()}"
    return name, str(local_path(data_dir).absolute()) if data_dir else ""


def _load_of_user(
    name: str, split: str, data_dir: str, size: int, part: tuple[int, int]
) -> ImageSet:
    load = import_path(name, "data set")
    try:
        loaded = load(split=split, data_dir=data_dir, size=size, part=part)
        if not isinstance(loaded, ImageSet):
            raise TypeError(f"it gave a {type(loaded).__name__}, not an ImageSet")
        images = loaded.images
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
            raise TypeError(
                f"its images are {images.dtype} {list(images.shape)}, not uint8 [N, H, W, 1 or 3]"
            )
    except UsageError as error:
        raise UsageError(f"data set {name}: {error}") from error
    # The function is the user's program: whatever it raises is theirs to see.
    except Exception as error:
        raise UsageError(f"data set {name}: {type(error).__name__}: {one_line(error)}") from error
    return loaded


def is_held_out(name: str) -> bool:
    """Whether an image of a set without splits belongs to "test", by its name alone."""
    return zlib.crc32(name.encode()) % 5 == 0


def _load_digits(split: str, size: int, part: tuple[int, int]) -> ImageSet:
    from sklearn.datasets import load_digits

    digits = load_digits()
    chosen = _choose(DIGITS, [str(i) for i in range(len(digits.images))], split)
    chosen = chosen[slice(*bounds(len(chosen), part))]
    images = np.rint(digits.images[chosen, ..., np.newaxis] * (255 / 16)).astype(np.uint8)
    if size:
        raise UsageError("data set digits: has 8x8 pixels only; leave size at 0")
    return ImageSet(DIGITS, images, digits.target[chosen].astype(np.int32), 10)


def _load_folder(name: str, split: str, size: int, part: tuple[int, int]) -> ImageSet:
    folder, entries, class_names = _entries(name, split)
    entries = entries[slice(*bounds(len(entries), part))]
    images = decode_entries(entries, lambda path: (folder / path).read_bytes(), str(folder), size)
    labels = [class_names.index(entry.class_name) for entry in entries]
    return ImageSet(name, images, np.array(labels, np.int32), len(class_names))


def _entries(name: str, split: str) -> tuple[Path, list[Entry], list[str]]:
    """A folder, the images of a split in it, and the classes of all."""
    if name == FOLDER_PREFIX:
        raise UsageError(f"data set {name}: write {name}PATH, with the folder of the images")
    folder = local_path(name.removeprefix(FOLDER_PREFIX))
    entries = arrange(list_folder(folder), str(folder))
    class_names = sorted({entry.class_name for entry in entries})
    if any(entry.split for entry in entries) and split != "all":
        chosen = [i for i, entry in enumerate(entries) if entry.split == split]
        if not chosen:
            raise UsageError(f"data set {name}: no split {split!r} in it")
    else:
        chosen = _choose(name, [entry.path for entry in entries], split)
    return folder, [entries[i] for i in chosen], class_names


def _choose(set_name: str, names: Sequence[str], split: str) -> list[int]:
    if split not in ("all", "train", "test"):
        raise UsageError(f"data set {set_name}: no split {split!r}; it has all, train, test")
    chosen = [
        i
        for i, name in enumerate(names)
        if split == "all" or is_held_out(name) == (split == "test")
    ]
    if not chosen:
        raise UsageError(f"data set {set_name}: too small, no image falls to {split!r}; use all")
    return chosen
