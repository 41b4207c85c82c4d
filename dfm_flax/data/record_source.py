"""Sets in ArrayRecord files, as tensorflow-datasets (TFDS) and `dfm data import` write them.

Records can be read in any order (https://github.com/google/array_record). Each is a
tf.train.Example with the file of an image and its label; TensorFlow is not needed to read it.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from grain.sources import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from dfm_flax.data.image_source import ImageSource, fitted
from dfm_flax.data.images import decode_image
from dfm_flax.errors import UsageError, one_line
from dfm_flax.typing import Pixels

IMAGE_KEY, LABEL_KEY = "image", "label"  # in a record
FILES_KEY = "files"  # in the note of an import: of each file its bytes and their SHA-256


@dataclass(frozen=True)
class Shard:
    """Some records of a file; that all have `image`, and `label` where there are classes.

    Attributes:
      path: of the file.
      first, last: the first of the records, and the one behind the last.
    """

    path: str
    first: int
    last: int


class RecordSource(ImageSource):
    """Images in ArrayRecord files; see `ImageSource`.

    Args:
      name: as it was asked for.
      shards: in order.
      shape: of an image, as it is brought to `size`.
      num_classes: 1 where the records have no labels.
      size: pixels of the sides that images are brought to; 0 keeps the size.
      written: of files by name, the bytes and the digest that they were written with.

    Raises:
      UsageError: a file is missing, or not as long as it was written.
    """

    def __init__(
        self,
        name: str,
        shards: Sequence[Shard],
        shape: tuple[int, int, int],
        num_classes: int,
        size: int,
        written: Mapping[str, tuple[int, str]] = MappingProxyType({}),
    ):
        self.name, self.shape, self.num_classes = name, shape, num_classes
        self._shards, self._size = tuple(shards), size
        self._bytes = [_size_of(shard.path) for shard in shards]
        self._digests = [written.get(Path(shard.path).name, (0, ""))[1] for shard in shards]
        for shard, num_bytes in zip(shards, self._bytes, strict=True):
            expected = written.get(Path(shard.path).name, (num_bytes, ""))[0]
            if num_bytes != expected:
                raise UsageError(
                    f"{shard.path} is damaged (it has {num_bytes:,} bytes and was written with "
                    f"{expected:,}); restore the file, or import the set again"
                )
        self._records = ArrayRecordDataSource(
            [f"{shard.path}[{shard.first}:{shard.last}]" for shard in shards]
        )

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> tuple[Pixels, int]:
        """See `ImageSource`."""
        where = f"{self.name}, record {index}"
        try:
            record = self._records[index]
            features = tf_example_pb2.Example.FromString(record).features.feature
            (content,) = features[IMAGE_KEY].bytes_list.value
            labels = features[LABEL_KEY].int64_list.value
        except Exception as error:  # of the reader, of the proto
            raise UsageError(
                f"{self._path(index)} is damaged ({where}: {one_line(error)[:200]}); "
                "restore the file, or make the set again"
            ) from error
        image = fitted(decode_image(content, where), self._size, self.shape, where)
        return image, labels[0] if labels else 0

    def fingerprint(self) -> str:
        """Of the names, sizes and records of all files, and of their content where it is noted."""
        sha = hashlib.sha256(f"{self._size} {self.shape}\n".encode())
        for shard, num_bytes, digest in zip(self._shards, self._bytes, self._digests, strict=True):
            name = Path(shard.path).name
            sha.update(f"{name} {num_bytes} {digest} {shard.first} {shard.last}\n".encode())
        return sha.hexdigest()

    def _path(self, index: int) -> str:
        for shard in self._shards:
            if index < shard.last - shard.first:
                return shard.path
            index -= shard.last - shard.first
        return ""


def _size_of(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; restore the file") from error


def size_and_digest(path: Path) -> tuple[int, str]:
    """The bytes of a file, and their SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
