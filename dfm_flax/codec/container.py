"""The `.dfm` file: bytes to an image and back. docs/reference/file_format.md has it byte by byte.

Files come from anywhere. A reader checks the checksum, then every field against limits, before
it computes or allocates anything that a field asks for.
"""

import struct
import zlib
from pathlib import Path

from dfm_flax.codec import machine_body
from dfm_flax.codec.coded_image import CodedImage
from dfm_flax.codec.fields import Reader
from dfm_flax.codec.pyramid import body as pyramid_body
from dfm_flax.codec.pyramid.image import PyramidImage
from dfm_flax.codec.quantized import QuantizedImage
from dfm_flax.errors import UsageError, one_line
from dfm_flax.files import atomic_path

SUFFIX = ".dfm"
MAGIC = b"\x8cDFM"
VERSION = 3  # a machine over a pyramid of grids; 1 and 2: of the position alone

MAX_PIXELS = 2**27  # a panorama of 100 megapixels has room

_CHECKSUM = struct.Struct("<I")


def to_bytes(image: CodedImage) -> bytes:
    """The file of an image.

    Raises:
      ValueError: the image breaks a limit of the format.
    """
    data = _build(image)
    _parse(data)  # that a reader will take it: a limit may be broken
    return data


def file_size(image: CodedImage) -> int:
    """Bytes of the file of an image.

    Raises:
      ValueError: an integer is too large.
    """
    return len(_build(image))


def _build(image: CodedImage) -> bytes:
    if isinstance(image, QuantizedImage):
        version, body = machine_body.build(image)
    else:
        assert isinstance(image, PyramidImage)
        version, body = pyramid_body.VERSION, pyramid_body.build(image)
    data = MAGIC + bytes([version]) + body
    return data + _CHECKSUM.pack(zlib.crc32(data))


def from_bytes(data: bytes, source: str | Path = "data") -> CodedImage:
    """The image in the bytes of a file; `source` is the file's path, for messages.

    Raises:
      UsageError: it is no `.dfm` file, damaged, of a newer version, or asks for too much.
    """
    try:
        return _parse(data)
    except ValueError as error:
        raise UsageError(f"cannot read {source}: {one_line(error)}") from error


def write(path: str | Path, image: CodedImage) -> int:
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


def read(path: str | Path) -> CodedImage:
    """Reads a `.dfm` file.

    Raises:
      UsageError: it is missing, or see `from_bytes`.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    return from_bytes(data, path)


def _parse(data: bytes) -> CodedImage:
    version, body = _checked(data)
    reader = Reader(body)
    height, width = reader.varint(), reader.varint()
    if not 1 <= height * width <= MAX_PIXELS:
        raise ValueError(f"{width} x {height} are no pixels, or more than {MAX_PIXELS:,}")
    if version == pyramid_body.VERSION:
        return pyramid_body.parse(height, width, reader)
    return machine_body.parse(version, height, width, reader)


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
