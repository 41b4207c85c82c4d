"""Versions 1 and 2 of the `.dfm` file: a machine of the position alone, its weights entropy coded.

docs/reference/file_format.md has them byte by byte.
"""

import itertools
import math
import struct

import numpy as np
from jaxtyping import Int32

from dfm_flax.codec import entropy
from dfm_flax.codec.fields import Reader, varint
from dfm_flax.codec.groups import num_groups, row_groups
from dfm_flax.codec.quantized import QuantizedImage, by_groups, by_layers
from dfm_flax.fourier import BASES, Basis, FourierMachine, num_weights

VERSIONS = (1, 2)  # 2 has the width of each layer, where 1 has one for all

MAX_DEPTH = 64
MAX_HIDDEN = 1024  # features between layers
MAX_EXTENT = 1024.0
# Even a weight that is always 0 takes part in drawing each pixel: a small file must not ask
# for much work.
FREE_WEIGHTS = 2**16
MAX_WEIGHTS_PER_BYTE = 64

_COLOR, _DEEP, _RESIDUAL, _BASES, _SHAPE = 0, 1, 2, 3, 6  # places in the flags
_EXTENT = struct.Struct("<f")


def build(image: QuantizedImage) -> tuple[int, bytes]:
    """The version, and the bytes between it and the checksum.

    Raises:
      ValueError: an integer is too large, or a basis has no code.
    """
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
    head = varint(image.height) + varint(image.width)
    head += bytes([flags, machine.depth, *frequencies])
    head += b"".join(map(varint, hidden if version > 1 else hidden[:1]))
    head += _EXTENT.pack(machine.extent)
    body = head + bytes(image.step_codes.tolist()) + bytes(widths)
    return version, body + np.asarray(words, "<u4").tobytes()


def _min_words(groups: list[Int32[np.ndarray, "_weights"]]) -> int:
    """Words with which a reader takes so many weights, though they be nearly all 0."""
    weights = sum(group.size for group in groups)
    num_bytes = (weights - FREE_WEIGHTS) / MAX_WEIGHTS_PER_BYTE
    return max(0, math.ceil((num_bytes - 2 * len(groups)) / 4))


def parse(version: int, height: int, width: int, reader: Reader) -> QuantizedImage:
    """The image in what follows its size.

    Raises:
      ValueError: it is damaged, or asks for too much.
    """
    flags = reader.byte()
    machine = _read_machine(reader, version, flags)
    groups = num_groups(machine)
    step_codes = np.frombuffer(reader.take(groups), np.uint8)
    widths = list(reader.take(groups))
    shape = flags >> _SHAPE
    if shape >= entropy.SHAPES or max(widths) > entropy.MAX_WIDTH:
        raise ValueError("its entropy model is unknown")
    integers = entropy.decode(reader.words(), shape, widths, _group_sizes(machine))
    levels = 65535 if flags >> _DEEP & 1 else 255
    return QuantizedImage(height, width, levels, machine, step_codes, by_layers(integers, machine))


def _read_machine(reader: Reader, version: int, flags: int) -> FourierMachine:
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
