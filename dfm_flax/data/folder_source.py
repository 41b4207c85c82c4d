"""A folder of images, as many as a file system holds, as a source that reads them one by one."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from dfm_flax.data.class_folders import Entry
from dfm_flax.data.decoding import Header, read_header
from dfm_flax.data.image_source import ImageSource, evenly_spread, fitted
from dfm_flax.data.images import decode_image
from dfm_flax.errors import UsageError
from dfm_flax.typing import Pixels

_HEADERS = 100  # of files that are looked at to see whether there are colors


@dataclass(frozen=True, eq=False)
class _Names:
    """Many strings as one: a million paths take their letters, and are copied at once."""

    letters: bytes
    ends: Int64[np.ndarray, "names"]

    @classmethod
    def of(cls, names: Iterable[str]) -> "_Names":
        encoded = [os.fsencode(name) for name in names]
        return cls(b"".join(encoded), np.cumsum([len(name) for name in encoded], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        start = self.ends[index - 1] if index else 0
        return os.fsdecode(self.letters[start : self.ends[index]])


class FolderSource(ImageSource):
    """Images of a folder; see `ImageSource`.

    Gray and color may be mixed: all are RGB where one of some that are looked at is.

    Args:
      name: as it was asked for.
      folder: which the paths of the entries are below.
      entries: the images, at least one.
      class_names: of all labels.
      size: pixels of the sides that images are brought to; 0 keeps the size.

    Raises:
      UsageError: an image that is looked at cannot be read.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        entries: Sequence[Entry],
        class_names: Sequence[str],
        size: int,
    ):
        self.name, self.num_classes = name, len(class_names)
        self._folder, self._size = folder.absolute(), size
        self._paths = _Names.of(entry.path for entry in entries)
        label = {class_name: i for i, class_name in enumerate(class_names)}
        self._labels = np.array([label[entry.class_name] for entry in entries], np.int32)
        some = [self._header(int(i)) for i in evenly_spread(len(entries), _HEADERS)]
        first = some[0]
        height, width = (size, size) if size else (first.height, first.width)
        self.shape = height, width, max(header.channels for header in some)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Pixels, int]:
        """See `ImageSource`."""
        path = self._file(index)
        image = decode_image(self._read(index), path)
        return fitted(image, self._size, self.shape, str(path)), int(self._labels[index])

    def fingerprint(self) -> str:
        """Of the names and sizes of all files."""
        sha = hashlib.sha256(f"{self._size} {self.shape}\n".encode())
        for index in range(len(self)):
            try:
                size = os.stat(self._file(index)).st_size
            except OSError as error:
                raise self._unreadable(index, error) from error
            sha.update(f"{size} {self._labels[index]} ".encode() + os.fsencode(self._paths[index]))
        return sha.hexdigest()

    def _header(self, index: int) -> Header:
        try:
            return read_header(self._read(index))
        except UsageError as error:
            raise UsageError(f"cannot read image {self._file(index)}: {error}") from error

    def _read(self, index: int) -> bytes:
        try:
            return self._file(index).read_bytes()
        except OSError as error:
            raise self._unreadable(index, error) from error

    def _file(self, index: int) -> Path:
        return self._folder / self._paths[index]

    def _unreadable(self, index: int, error: OSError) -> UsageError:
        return UsageError(f"cannot read image {self._file(index)}: {error.strerror}")
