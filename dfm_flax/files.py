"""Files that appear complete or not at all."""

import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dfm_flax.errors import DfmError, UsageError

_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # of the disk, not of the user

_unfinished: set[Path] = set()  # temporary files and folders of the blocks under way
_REMOVALS = 5  # tries, as threads may still write into a folder


def local_path(path: str | Path) -> Path:
    """The path that a user wrote, with ~ at its start in place of the home folder.

    A shell expands `~/x` but not `--out=~/x`. A name that only begins with a tilde stays.

    Raises:
      UsageError: it is an address such as gs://bucket/runs, or empty.
    """
    text = os.fspath(path)
    if re.match(r"\w+:/", text) and not Path(text).parent.exists():
        raise UsageError(f"{text}: only local folders and files; mount it, or copy it from there")
    if not text:
        raise UsageError("an empty path: name a file or a folder")
    return Path(os.path.expanduser(text))


def check_writable(path: Path) -> None:
    """Raises UsageError unless a file can be written as `path`, whose folders may be missing.

    By a file without a name in the nearest folder that is there: permissions do not tell of
    file systems that are read-only.
    """
    try:
        _is_there(path)
        folder = next(parent for parent in path.absolute().parents if _is_there(parent))
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def _is_there(path: Path) -> bool:
    """Whether there is such a file or folder; an OSError where there can be none."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a path to write to beside `path`; it becomes `path` when the block succeeds.

    The temporary path has the suffix of `path`, lies in the same folder (a rename across
    file systems is a copy, which can stop half way) and is removed if the block fails. Missing
    parent folders are created; a symbolic link is followed, so the link itself stays.

    Raises:
      UsageError: the folder or the file cannot be written, or `path` exists and is no
        regular file. An OSError out of the block counts as one: the block only writes.
      DfmError: the disk is full or broken.
    """
    target = Path(os.path.realpath(path))
    # Renaming onto a device such as /dev/null would succeed for root and replace the device.
    if target.exists() and not target.is_file():
        raise UsageError(f"cannot write {path}: it exists and is not a regular file")
    temporary = target.with_name(f".{secrets.token_hex(8)}{target.suffix}")
    _unfinished.add(temporary)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        kind = DfmError if error.errno in _FAILURES else UsageError
        raise kind(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        _unfinished.discard(temporary)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for the block alone, which goes also if the process ends at once."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _unfinished.add(folder)
        try:
            yield folder
        finally:
            _unfinished.discard(folder)


def remove_unfinished() -> None:
    """Removes what is temporary in blocks under way, for a process that ends at once."""
    for temporary in tuple(_unfinished):
        for _ in range(_REMOVALS):
            with suppress(OSError):
                shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink()
            if not temporary.exists():
                break
