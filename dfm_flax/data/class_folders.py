"""Images in folders, one folder a class: {class}/*, or {train,test}/{class}/*, or none at all."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from dfm_flax.data.image_files import image_suffixes, is_hidden, warn_left_out
from dfm_flax.data.images import Image, decode_image, prepare
from dfm_flax.data.memory import check_fits
from dfm_flax.errors import UsageError

log = logging.getLogger(__name__)

SPLITS = ("train", "test")

# Splits by the names that folders of them have, in lower case.
_SPLITS_BY_NAME = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Entry:
    """An image file: its path below the source, its split and class ("" where there is none)."""

    path: str
    split: str
    class_name: str


def list_folder(folder: Path) -> list[str]:
    """The files in a folder and below, as sorted relative paths with slashes.

    Hidden files and folders, and those of systems, are passed over; links are followed.

    Raises:
      UsageError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    files: list[str] = []
    _add_files(folder, "", files, set())
    return sorted(files)


def _add_files(folder: Path, prefix: str, files: list[str], above: set[tuple[int, int]]) -> None:
    """Appends the paths of files, each behind the prefix; `above` has the folders around."""
    try:
        status = folder.stat()
        identity = status.st_dev, status.st_ino
        if identity in above:  # a link leads back
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if entry.is_dir():
                    inner = f"{prefix}{entry.name}/"
                    _add_files(folder / entry.name, inner, files, above | {identity})
                elif entry.is_file():
                    files.append(prefix + entry.name)
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}") from error


def arrange(paths: Iterable[str], source: str) -> list[Entry]:
    """The images among files, each with its split and class, sorted by path.

    Files count as images by their suffix; hidden ones are passed over, others that are
    left out are counted and named in a warning. Where all folders at the top are named as
    splits are (train, val, test, .. in any case), they are splits.

    Raises:
      UsageError: there are no images, they lie at different depths, or it is not clear
        whether folders are splits or classes.
    """
    visible = [path for path in paths if not any(map(is_hidden, path.split("/")))]
    images = sorted(path for path in visible if Path(path).suffix.lower() in image_suffixes())
    if not images:
        raise UsageError(f"{source}: no images there")
    warn_left_out(source, sorted(set(visible) - set(images)))
    splits = _splits(images, source)
    entries = []
    for path in images:
        first, *folders = path.split("/")[:-1] or [""]
        split = splits.get(first, "")
        if not split and first:
            folders = [first, *folders]
        if len(folders) > 1:
            raise UsageError(f"{source}: {path} lies too deep; images belong into CLASS/")
        entries.append(Entry(path, split, folders[0] if folders else ""))
    if any(entry.class_name for entry in entries):
        stray = [entry.path for entry in entries if not entry.class_name]
        if stray:
            raise UsageError(f"{source}: {stray[0]} lies beside the folders of classes")
    return entries


def _splits(images: Sequence[str], source: str) -> dict[str, str]:
    """The split that each folder at the top is; none if they are classes."""
    tops = sorted({path.split("/")[0] if "/" in path else "" for path in images})
    named = {top: _SPLITS_BY_NAME[top.lower()] for top in tops if top.lower() in _SPLITS_BY_NAME}
    others = [top or "images beside them" for top in tops if top not in named]
    if len(set(named.values())) > 1 and others:
        raise UsageError(
            f"{source}: are {' and '.join(named)} splits or classes? There is {others[0]} as well; "
            "rename or move it"
        )
    if len(set(named.values())) < len(named):
        raise UsageError(f"{source}: of {' and '.join(named)} two are the same split")
    return {} if others else named


def decode_entries(
    entries: Sequence[Entry], read: Callable[[str], bytes], source: str, size: int = 0
) -> UInt8[np.ndarray, "images height width channels"]:
    """The images of entries, gray only if all are.

    What of the files is not in the images is logged, once for all that it is true of.

    Args:
      entries: at least one.
      read: the bytes of a path.
      source: where they come from, for messages.
      size: the shorter side is resized to it and the center cut out, size x size; 0 keeps.

    Raises:
      UsageError: an image cannot be read, their sizes differ, or they do not fit into memory.
    """
    stacked = np.zeros((0, 0, 0, 0), np.uint8)
    notes: dict[str, list[str]] = {}
    for i, entry in enumerate(_bar(entries)):
        image = _decode(read, entry.path, source, size)
        deep = ["its 16 bits a sample are read as 8"] if image.levels > 255 else []
        for note in (*image.notes, *deep):
            notes.setdefault(note, []).append(entry.path)
        pixels = np.rint(image.pixels * 255).astype(np.uint8)
        if i == 0:
            check_fits(len(entries) * pixels.size, source)
            stacked = np.zeros((len(entries), *pixels.shape), np.uint8)
        if pixels.shape[:2] != stacked.shape[1:3]:
            height, width = pixels.shape[:2]
            raise UsageError(
                f"{source}: {entry.path} has {height} x {width} pixels, {entries[0].path} "
                f"{stacked.shape[1]} x {stacked.shape[2]}; bring all to one size"
            )
        if pixels.shape[2] > stacked.shape[3]:
            stacked = np.repeat(stacked, 3, axis=3)
        stacked[i] = pixels  # gray spreads over three channels
    for note, paths in notes.items():
        others = f" and {len(paths) - 1:,} others" if len(paths) > 1 else ""
        log.warning("%s/%s%s: %s", source, paths[0], others, note)
    return stacked


def _bar(entries: Sequence[Entry]) -> Iterable[Entry]:
    return tqdm(entries, "reading", unit="image", delay=1, leave=False, disable=None)


def _decode(read: Callable[[str], bytes], path: str, source: str, size: int) -> Image:
    try:
        content = read(path)
    except OSError as error:
        raise UsageError(f"cannot read image {source}/{path}: {error.strerror}") from error
    image = decode_image(content, f"{source}/{path}")
    return prepare(image, size, (size, size)) if size else image
