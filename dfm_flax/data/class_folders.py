"""Images in folders, one folder a class: {class}/*, or {train,test}/{class}/*, or none at all."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import UInt8
from tqdm import tqdm

from dfm_flax.data.images import decode_image, prepare
from dfm_flax.data.memory import check_fits
from dfm_flax.errors import UsageError

log = logging.getLogger(__name__)

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Entry:
    """An image file: its path below the source, its split and class ("" where there is none)."""

    path: str
    split: str
    class_name: str


def list_folder(folder: Path) -> list[str]:
    """The files in a folder and two levels below, as sorted relative paths with slashes.

    Raises:
      UsageError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    files = [path for depth in ("*", "*/*", "*/*/*") for path in folder.glob(depth)]
    return sorted(path.relative_to(folder).as_posix() for path in files if path.is_file())


def arrange(paths: Iterable[str], source: str) -> list[Entry]:
    """The images among files, each with its split and class, sorted by path.

    Files count as images by their suffix; hidden ones are passed over, others that are
    left out are named in a warning.

    Raises:
      UsageError: there are no images, or they lie at different depths.
    """
    image_suffixes = PIL.Image.registered_extensions()
    visible = [path for path in paths if not any(map(_is_hidden, path.split("/")))]
    images = sorted(p for p in visible if Path(p).suffix.lower() in image_suffixes)
    if not images:
        raise UsageError(f"{source}: no images there")
    if len(images) < len(visible):
        left_out = sorted(set(visible) - set(images))
        log.warning(
            "%s: %d files are no images and left out, such as %s",
            source,
            len(left_out),
            left_out[0],
        )
    has_splits = all(path.split("/")[0] in SPLITS and "/" in path for path in images)
    entries = []
    for path in images:
        *folders, _ = path.split("/")
        split = folders.pop(0) if has_splits else ""
        if len(folders) > 1:
            raise UsageError(f"{source}: {path} lies too deep; images belong into CLASS/")
        entries.append(Entry(path, split, folders[0] if folders else ""))
    if any(entry.class_name for entry in entries):
        stray = [entry.path for entry in entries if not entry.class_name]
        if stray:
            raise UsageError(f"{source}: {stray[0]} lies beside the folders of classes")
    return entries


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def decode_entries(
    entries: Sequence[Entry], read: Callable[[str], bytes], source: str, size: int = 0
) -> UInt8[np.ndarray, "images height width channels"]:
    """The images of entries, gray only if all are.

    Args:
      entries: at least one.
      read: the bytes of a path.
      source: where they come from, for messages.
      size: the shorter side is resized to it and the center cut out, size x size; 0 keeps.

    Raises:
      UsageError: an image cannot be read, their sizes differ, or they do not fit into memory.
    """
    stacked = np.zeros((0, 0, 0, 0), np.uint8)
    for i, entry in enumerate(tqdm(entries, "reading", unit="image", delay=1, leave=False)):
        pixels = _decode(read, entry.path, source, size)
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
    return stacked


def _decode(
    read: Callable[[str], bytes], path: str, source: str, size: int
) -> UInt8[np.ndarray, "height width channels"]:
    try:
        content = read(path)
    except OSError as error:
        raise UsageError(f"cannot read image {source}/{path}: {error.strerror}") from error
    image = decode_image(content, f"{source}/{path}")
    if size:
        image = prepare(image, size, (size, size))
    return np.rint(image.pixels * 255).astype(np.uint8)
