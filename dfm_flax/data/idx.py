"""IDX files, the format that MNIST and its likes come in: bytes with a small header."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from dfm_flax.errors import UsageError


def read_idx(path: Path, num_axes: int) -> UInt8[np.ndarray, "..."]:
    """The array of an IDX file of bytes, gzipped or not (the content tells, not the suffix).

    The header is two zero bytes, the type (8, unsigned bytes), the number of axes, and the
    length of each axis as a big-endian uint32.

    Args:
      path: the file.
      num_axes: 3 for images [N, H, W], 1 for labels [N].

    Raises:
      UsageError: the file is missing, no IDX file of bytes with `num_axes` axes, damaged,
        shorter or longer than its header says.
    """
    data = _read_unzipped(path)
    magic = bytes([0, 0, 8, num_axes])
    if data[:4] != magic:
        raise UsageError(
            f"{path}: starts with {data[:4].hex(' ') or 'nothing'}, not with {magic.hex(' ')} "
            f"as an IDX file of {'images' if num_axes == 3 else 'labels'} does"
        )
    start = 4 + 4 * num_axes
    if len(data) < start:
        raise UsageError(f"{path}: is cut off in its header")
    shape = tuple(int(length) for length in np.frombuffer(data, ">u4", num_axes, offset=4))
    if len(data) - start != math.prod(shape):
        raise UsageError(
            f"{path}: holds {len(data) - start:,} bytes where its header says "
            f"{' x '.join(map(str, shape))}; it is cut off or damaged"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _read_unzipped(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise UsageError(f"{path}: the gzip data is cut off or damaged: {error}") from error
