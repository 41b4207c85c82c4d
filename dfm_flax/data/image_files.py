"""The image files that a command line names, and names for what is made of them."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import PIL.Image

from dfm_flax.errors import UsageError

log = logging.getLogger(__name__)


def list_files(sources: Sequence[str]) -> list[str]:
    """Image files and samples, with the images in a folder, by name, in place of the folder.

    Files count as images by their suffix; others but hidden ones are named as left out.

    Raises:
      UsageError: there are none.
    """
    formats = PIL.Image.registered_extensions()
    suffixes = {suffix for suffix, name in formats.items() if name in PIL.Image.OPEN}
    files = []
    for source in sources:
        folder = Path(source).expanduser()
        if not folder.is_dir():
            files.append(source)
            continue
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        images = [entry for entry in entries if entry.suffix.lower() in suffixes]
        left_out = [entry.name for entry in entries if entry not in images]
        if not images:
            raise UsageError(f"{source}: no images in this folder")
        if left_out:
            log.warning("%s: left out, as they are no images: %s", source, ", ".join(left_out))
        files += map(str, images)
    if not files:
        raise UsageError(
            "no image given; use --config.data.images=FILE,FILE or =FOLDER or =sample:astronaut"
        )
    return files


def file_name(name: str) -> str:
    """A name that any file system takes, with room for what is added to it, and is UTF-8."""
    return name.encode(errors="replace")[:200].decode(errors="ignore")


def unused_name(name: str, taken: set[str]) -> str:
    candidates = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)
