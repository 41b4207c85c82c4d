"""The fields of a `.dfm` file: bytes taken from the front, and whole numbers as bytes."""

import numpy as np
from jaxtyping import UInt32

FRAME = 9  # bytes of a file beside its body: magic, version and checksum


class Reader:
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

    def words(self, count: int | None = None) -> UInt32[np.ndarray, "words"]:
        """The next words of 32 bits, or all that are left."""
        if count is None and len(self.rest) % 4:
            raise ValueError("it ends in the middle of a word")
        data = self.take(len(self.rest) if count is None else 4 * count)
        return np.frombuffer(data, "<u4").astype(np.uint32)


def varint(value: int) -> bytes:
    """LEB128: seven bits a byte, the lowest first, with the top bit set on all but the last."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])
