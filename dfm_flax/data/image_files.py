"""The files that a command line or a config names, and those that folders have of them."""

import functools
import logging
import os
import stat
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import PIL.Image
import PIL.ImageFile

from dfm_flax.data.images import SAMPLE_PREFIX
from dfm_flax.errors import UsageError
from dfm_flax.files import local_path

log = logging.getLogger(__name__)

# What systems and programs put beside images; names that begin with a dot are hidden anyway.
_OF_SYSTEMS = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information"}
_OF_SYSTEMS |= {"lost+found", "thumbs.db", "desktop.ini"}
# Pillow registers these, and reads them only by other programs or not at all.
_NO_PICTURES = {"EPS", "MPEG", "PDF"}
_NAMED = 3  # of the files that are left out


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over without a word."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Suffixes, in lower case, of the files in a folder that count as images."""
    formats = PIL.Image.registered_extensions()
    return frozenset(
        suffix
        for suffix, name in formats.items()
        if name in PIL.Image.OPEN and name not in _NO_PICTURES and not _is_stub(name)
    )


def writable_suffixes() -> frozenset[str]:
    """Suffixes, in lower case, of the formats that images are written in."""
    formats = PIL.Image.registered_extensions()
    return frozenset(
        suffix
        for suffix, name in formats.items()
        if name in PIL.Image.SAVE and name not in _NO_PICTURES and not _is_stub(name)
    )


def _is_stub(name: str) -> bool:
    """Whether Pillow knows a format by name and leaves reading it to others."""
    factory = PIL.Image.OPEN[name][0] if name in PIL.Image.OPEN else None
    return isinstance(factory, type) and issubclass(factory, PIL.ImageFile.StubImageFile)


def list_files(
    sources: Sequence[str | Path],
    suffixes: Collection[str] | None = None,
    kind: str = "images",
) -> list[str]:
    """The sources, with the files in a folder that have a suffix, by name, in place of the folder.

    Hidden files and those of systems are passed over. All else in a folder that is no such file,
    or no file, is counted and named in one line. Files that are named themselves may have any
    suffix, and sample:NAME is left as it is.

    Args:
      suffixes: in lower case; those of images if None.
      kind: what they are, for messages.

    Raises:
      UsageError: a folder has none or cannot be read, a source is a named pipe, or there are no
        sources.
    """
    files: list[str] = []
    for source in sources:
        if str(source).startswith(SAMPLE_PREFIX):
            files.append(str(source))
            continue
        path = local_path(source)
        if os.path.isdir(path):
            files += map(str, _in_folder(path, suffixes or image_suffixes(), kind))
        elif _is_pipe(path):
            raise UsageError(f"{path}: a named pipe, and no file")
        else:
            files.append(str(path))
    if not files:
        raise UsageError(
            "no image given; use --config.data.images=FILE,FILE or =FOLDER or =sample:astronaut"
        )
    return files


def _in_folder(folder: Path, suffixes: Collection[str], kind: str) -> list[Path]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not is_hidden(entry.name))
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}") from error
    # A link to nothing is one that was meant: it is named when it is read.
    files = [
        entry
        for entry in entries
        if entry.suffix.lower() in suffixes and (entry.is_file() or not entry.exists())
    ]
    if not files:
        raise UsageError(f"{folder}: no {kind} in this folder")
    chosen = set(files)
    warn_left_out(folder, [entry.name for entry in entries if entry not in chosen], kind)
    return files


def warn_left_out(source: str | Path, names: Iterable[str], kind: str = "images") -> None:
    """Says in one line how many files are left out as they are none of a kind, with some names."""
    names = list(names)
    if names:
        more = ", .." if len(names) > _NAMED else ""
        named = ", ".join(names[:_NAMED])
        log.warning("%s: %d left out, no %s: %s%s", source, len(names), kind, named, more)


def _is_pipe(path: Path) -> bool:
    """Whether it is a pipe that somebody made by a name: a shell's <(..) lie in /dev."""
    try:
        pipe = stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
    return pipe and path.absolute().parts[1] not in ("dev", "proc")


def file_name(name: str) -> str:
    """A name that any file system takes, with room for what is added to it, and is UTF-8."""
    return name.encode(errors="replace")[:200].decode(errors="ignore")


def image_name(source: str | Path) -> str:
    """The name that is given to what is made of a source: that of its file, without suffix."""
    return file_name(Path(str(source).removeprefix(SAMPLE_PREFIX)).stem)
