"""Paths for Orbax, which looks for files by patterns: [, * and ? in a name are no patterns."""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from etils import epath


@epath.register_path_cls
class LiteralPath(epath.gpath.PosixGPath):  # type: ignore[misc]
    """A local path whose `glob` takes the path itself literally, and only the rest as a pattern."""

    def glob(self, pattern: str) -> Iterator[Self]:
        for name in glob.iglob(pattern, root_dir=self):
            yield self / name


def literal_path(path: Path) -> epath.Path:
    """An absolute path that Orbax can use, whatever it is called."""
    return LiteralPath(path.absolute())
