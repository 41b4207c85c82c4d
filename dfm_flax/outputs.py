"""Where a command writes: found to be free and writable before any work.

Of a user's files none is lost: a file that is there is replaced only where that is asked for, or
where the same command made it; one that the command reads is not, and no two results are written
to one path.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path, check_writable, local_path


class Outputs:
    """The place that `--out` names, and what a command will write there.

    OUT is a folder if there is one, or if it ends in a slash or has no suffix (that of 0.3 is
    none); else it is a file, whose suffix must be one that is written.

    Attributes:
      path: OUT, with ~ expanded.
    """

    def __init__(
        self,
        out: str | Path,
        overwrite: bool = False,
        inputs: Iterable[str | Path] = (),
        ledger: Path | None = None,
    ):
        """
        Args:
          out: as the user wrote it.
          overwrite: whether files that are there may be replaced.
          inputs: what the command reads: never written.
          ledger: a file in which the command keeps what it has written, so that it can go on.

        Raises:
          UsageError: OUT is no local path.
        """
        self.path = local_path(out)
        self._folder_by_name = os.fspath(out).endswith(os.sep)
        self._overwrite = overwrite
        self._inputs = {_identity(Path(path)) for path in inputs} - {None}
        self._ledger = ledger
        self._claimed: set[str] = set()
        self._writable: set[Path] = set()

    def is_folder(self, suffixes: Collection[str]) -> bool:
        """Whether OUT is a folder of results, or the file of the only one.

        Args:
          suffixes: those that a file may have, in lower case.

        Raises:
          UsageError: it has another suffix.
        """
        suffix = self.path.suffix.lower()
        if self._folder_by_name or os.path.isdir(self.path):
            return True
        if suffix in suffixes:
            return False
        if not suffix or suffix[1].isdigit():
            return True
        wanted = f"use {_listed(suffixes)}, or a" if suffixes else "use a"
        raise UsageError(
            f"cannot write {self.path}: {wanted} name without suffix, or with / at its end, for a "
            "folder"
        )

    def one(self, name: str, suffixes: Collection[str]) -> Path:
        """Claims the path of the only result: OUT, or `name`, with its suffix, in the folder OUT.

        Raises:
          UsageError: see `is_folder` and `claim`.
        """
        return self.claim(self.path / name if self.is_folder(suffixes) else self.path)

    def each(self, names: Sequence[str], suffix: str, suffixes: Collection[str] = ()) -> list[Path]:
        """Claims a path for each result: OUT for one, or NAME and `suffix` each in the folder OUT.

        Where names are equal, all but the first get a number.

        Args:
          suffixes: those that a file may have; only `suffix` if there are none.

        Raises:
          UsageError: OUT is the name of one file and there are several results, or see
            `is_folder` and `claim`.
        """
        if self.is_folder(suffixes or (suffix,)):
            return self.folder([f"{name}{suffix}" for name in unused_names(names)])
        if len(names) > 1:
            raise UsageError(
                f"--out {self.path}: the name of one file, and there are {len(names)} results; "
                "name a folder"
            )
        return [self.claim(self.path) for _ in names]

    def folder(self, names: Iterable[str]) -> list[Path]:
        """Claims files by their names in the folder OUT.

        Raises:
          UsageError: OUT is no folder, or see `claim`.
        """
        if not self._folder_by_name:
            self.is_folder(())
        check_writable(self.path / "any")
        return [self.claim(self.path / name) for name in names]

    def claim(self, path: Path) -> Path:
        """The path, which this command alone will write.

        Raises:
          UsageError: it cannot be written, is an input, was claimed before, or is a file that
            the command did not make.
        """
        target = Path(os.path.realpath(path))
        try:
            target.lstat()
            exists = True
        except FileNotFoundError:
            exists = False
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        if target.is_dir():
            raise UsageError(f"cannot write {path}: it is a folder")
        if exists and not target.is_file():
            raise UsageError(f"cannot write {path}: it exists and is not a regular file")
        if exists and _identity(target) in self._inputs:
            raise UsageError(f"cannot write {path}: it is read as well; use another --out")
        if str(target) in self._claimed:
            raise UsageError(f"cannot write {path}: two results would have this name")
        if exists and not self._overwrite and not self._made_before(target):
            raise UsageError(f"{path} exists; use another --out, or --overwrite to replace it")
        if target.parent not in self._writable:
            check_writable(target)
            self._writable.add(target.parent)
        self._claimed.add(str(target))
        return path

    def written(self, path: Path) -> None:
        """Notes in the ledger, if there is one, that a file is this command's own."""
        if self._ledger is not None:
            entries = self._entries() | {os.path.realpath(path): _digest(path)}
            with atomic_path(self._ledger) as temporary:
                temporary.write_text(json.dumps(entries, indent=1) + "\n")

    def _made_before(self, target: Path) -> bool:
        digest = self._entries().get(str(target))
        return digest is not None and digest == _digest(target)

    def _entries(self) -> dict[str, str]:
        if self._ledger is None or not self._ledger.is_file():
            return {}
        try:
            entries = json.loads(self._ledger.read_text())
            if not all(len(bytes.fromhex(digest)) == 32 for digest in entries.values()):
                raise ValueError("it is of another program")
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{self._ledger}: cannot be read, move it away: {error}") from error
        return dict(entries)


def unused_names(names: Iterable[str]) -> list[str]:
    """The names, with a number after those that are there already."""
    taken: dict[str, None] = {}
    for name in names:
        candidates = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(2)))
        taken[next(candidate for candidate in candidates if candidate not in taken)] = None
    return list(taken)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _listed(suffixes: Collection[str]) -> str:
    """Suffixes in words, the first few."""
    common = [suffix for suffix in (".png", ".jpg", ".webp", ".tif") if suffix in suffixes]
    return f"a suffix such as {' '.join(common[:3] or sorted(suffixes)[:3])}"
