"""The `.dfm` file: bytes to a quantized machine and back.

docs/reference/file_format.md has it byte by byte.

Files come from anywhere. A reader checks the checksum, then every field against limits, before
it computes or allocates anything that a field asks for.
"""

import itertools
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from dfm_flax.codec import entropy
from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.codec.quantized import QuantizedImage, by_groups, by_layers
from dfm_flax.errors import UsageError, one_line
from dfm_flax.files import atomic_path
from dfm_flax.fourier import BASES, Basis, FourierMachine, num_weights

SUFFIX = ".dfm"
MAGIC = b"\x8cDFM"
VERSION = 2  # has the width of each layer, where version 1 has one for all

MAX_PIXELS = 2**27  # a panorama of 100 megapixels has room
MAX_DEPTH = 64
MAX_HIDDEN = 1024  # features between layers
MAX_EXTENT = 1024.0
# Even a weight that is always 0 takes part in drawing each pixel: a small file must not ask
# for much work.
FREE_WEIGHTS = 2**16
MAX_WEIGHTS_PER_BYTE = 64

_COLOR, _DEEP, _RESIDUAL, _BASES, _SHAPE = 0, 1, 2, 3, 6  # places in the flags
_CHECKSUM = struct.Struct("<I")
_EXTENT = struct.Struct("<f")


def to_bytes(image: QuantizedImage) -> bytes:
    """The file of an image.

    Raises:
      ValueError: the image breaks a limit of the format.
    """
    data = _build(image)
    _parse(data)  # that a reader will take it: a limit may be broken
    return data


def file_size(image: QuantizedImage) -> int:
    """Bytes of the file of an image.

    Raises:
      ValueError: an integer is too large.
    """
    return len(_build(image))


def _build(image: QuantizedImage) -> bytes:
    machine = image.machine
    bases = [machine.bases[i] for i in (0, 1, -1)]
    codes = [_code(basis) for basis in bases]
    groups = by_groups(image.integers, machine)
    shape, widths, words = entropy.encode(groups, _min_words(groups))
    flags = (
        (machine.channels == 3) << _COLOR
        | (image.levels == 65535) << _DEEP
        | machine.residual << _RESIDUAL
        | sum(code << i for i, code in enumerate(codes)) << _BASES
        | shape << _SHAPE
    )
    frequencies = [basis.max_frequency for basis in bases]
    hidden = machine.widths[1:-1]
    version = 1 if len(set(hidden)) == 1 else 2
    head = MAGIC + bytes([version]) + _varint(image.height) + _varint(image.width)
    head += bytes([flags, machine.depth, *frequencies])
    head += b"".join(map(_varint, hidden if version > 1 else hidden[:1]))
    head += _EXTENT.pack(machine.extent)
    body = head + bytes(image.step_codes.tolist()) + bytes(widths)
    body += np.asarray(words, "<u4").tobytes()
    return body + _CHECKSUM.pack(zlib.crc32(body))


def _min_words(groups: list[Int32[np.ndarray, "_weights"]]) -> int:
    """Words with which a reader takes so many weights, though they be nearly all 0."""
    weights = sum(group.size for group in groups)
    num_bytes = (weights - FREE_WEIGHTS) / MAX_WEIGHTS_PER_BYTE
    return max(0, math.ceil((num_bytes - 2 * len(groups)) / 4))


def from_bytes(data: bytes, source: str | Path = "data") -> QuantizedImage:
    """The image in the bytes of a file; `source` is the file's path, for messages.

    Raises:
      UsageError: it is no `.dfm` file, damaged, of a newer version, or asks for too much.
    """
    try:
        return _parse(data)
    except ValueError as error:
        raise UsageError(f"cannot read {source}: {one_line(error)}") from error


def write(path: str | Path, image: QuantizedImage) -> int:
    """Writes the file, complete or not at all; returns its bytes.

    Raises:
      UsageError: the image breaks a limit of the format.
    """
    try:
        data = to_bytes(image)
    except ValueError as error:
        raise UsageError(f"cannot write {path}: {one_line(error)}") from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return len(data)


def read(path: str | Path) -> QuantizedImage:
    """Reads a `.dfm` file.

    Raises:
      UsageError: it is missing, or see `from_bytes`.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    return from_bytes(data, path)


class _Reader:
    """Takes fields from the front of bytes."""

    def __init__(self, data: bytes):
        self.rest = data

    def take(self, count: int) -> bytes:
        if count > len(self.rest):
            raise ValueError("it ends in the middle of its header")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number in its header has no end")


def _varint(value: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first, with the top bit set on all but the last."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _parse(data: bytes) -> QuantizedImage:
    version, body = _checked(data)
    reader = _Reader(body)
    height, width = reader.varint(), reader.varint()
    if not 1 <= height * width <= MAX_PIXELS:
        raise ValueError(f"{width} x {height} are no pixels, or more than {MAX_PIXELS:,}")
    flags = reader.byte()
    machine = _read_machine(reader, version, flags)
    groups = num_groups(machine)
    step_codes = np.frombuffer(reader.take(groups), np.uint8)
    widths = list(reader.take(groups))
    shape = flags >> _SHAPE
    if shape >= entropy.SHAPES or max(widths) > entropy.MAX_WIDTH:
        raise ValueError("its entropy model is unknown")
    if len(reader.rest) % 4:
        raise ValueError("it ends in the middle of a word")
    sizes = _group_sizes(machine)
    integers = entropy.decode(np.frombuffer(reader.rest, "<u4"), shape, widths, sizes)
    levels = 65535 if flags >> _DEEP & 1 else 255
    return QuantizedImage(height, width, levels, machine, step_codes, by_layers(integers, machine))


def _checked(data: bytes) -> tuple[int, bytes]:
    """The version, and what lies between it and the checksum."""
    if not data.startswith(MAGIC):
        raise ValueError("it is no .dfm file")
    start = len(MAGIC) + 1
    if len(data) >= start and data[start - 1] > VERSION:
        raise ValueError(
            f"version {data[start - 1]} of the format, and this dfm_flax reads up to {VERSION}; "
            "install a newer one"
        )
    end = len(data) - _CHECKSUM.size
    if end < start or _CHECKSUM.pack(zlib.crc32(data[:end])) != data[end:]:
        raise ValueError("it is damaged or cut short: its checksum is wrong")
    if data[start - 1] < 1:
        raise ValueError(f"there is no version {data[start - 1]} of the format")
    return data[start - 1], data[start:end]


def _read_machine(reader: _Reader, version: int, flags: int) -> FourierMachine:
    depth = reader.byte()
    frequencies = tuple(reader.take(3))
    if not (2 <= depth <= MAX_DEPTH and min(frequencies) >= 1):
        raise ValueError(
            f"no machine has depth {depth} (2 to {MAX_DEPTH}) and frequencies {frequencies} "
            "(at least 1)"
        )
    if version == 1:
        hidden = (reader.varint(),) * (depth - 1)
    else:
        hidden = tuple(reader.varint() for _ in range(depth - 1))
    if not (min(hidden) >= 1 and max(hidden) <= MAX_HIDDEN):
        raise ValueError(f"its layers have 1 to {MAX_HIDDEN} features, not {max(hidden)}")
    (extent,) = _EXTENT.unpack(reader.take(_EXTENT.size))
    if not (math.isfinite(extent) and 0 < extent <= MAX_EXTENT):
        raise ValueError(f"an extent of {extent} periods is none")
    coded = {basis.code: basis for basis in map(BASES.get, BASES.names())}
    bases = tuple(coded[flags >> (_BASES + i) & 1](frequencies[i]) for i in range(3))
    channels = 3 if flags >> _COLOR & 1 else 1
    most = FREE_WEIGHTS + MAX_WEIGHTS_PER_BYTE * len(reader.rest)
    if num_weights(depth, hidden, channels, bases) > most:
        raise ValueError(f"it asks for more than {most:,} weights, too many for its size")
    return FourierMachine(
        depth=depth,
        width=hidden,
        channels=channels,
        basis=bases,
        residual=bool(flags >> _RESIDUAL & 1),
        extent=extent,
    )


def _group_sizes(machine: FourierMachine) -> list[int]:
    return list(
        itertools.chain.from_iterable(
            (np.bincount(rows)[rows[0] :] * n).tolist()
            for rows, n in zip(row_groups(machine), machine.widths[1:], strict=True)
        )
    )


def _code(basis: Basis) -> int:
    """What stands for a basis in the flags: a bit."""
    if basis.code not in (0, 1):
        raise ValueError(f"no file can hold a machine with {basis}: the basis has no code")
    if basis.max_frequency > 255:
        raise ValueError(f"no file can hold a machine with {basis}: frequencies end at 255")
    return basis.code
