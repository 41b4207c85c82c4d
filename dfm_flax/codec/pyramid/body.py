"""Version 3 of the `.dfm` file: grids and the machines over them, entropy coded.

docs/reference/file_format.md has it byte by byte.
"""

import math

import numpy as np

from dfm_flax.codec import entropy, grids
from dfm_flax.codec.fields import FRAME, Reader, varint
from dfm_flax.codec.pyramid.geometry import MAX_GRIDS, MAX_LATENTS, MAX_SIDE, Pyramid
from dfm_flax.codec.pyramid.image import PyramidImage
from dfm_flax.codec.pyramid.network import NEWEST_START, Network
from dfm_flax.codec.pyramid.weights import MAX_STEP_CODE, CodedWeights

VERSION = 3

_COLOR, _DEEP, _SHAPE, _START = 0, 1, 2, 4  # places in the flags


def build(image: PyramidImage) -> bytes:
    """The bytes between the version and the checksum.

    Raises:
      ValueError: an integer is too large.
    """
    shape, widths, words = entropy.encode(image.weights.integers)
    flags = (image.channels == 3) << _COLOR | (image.levels == 65535) << _DEEP
    flags |= shape << _SHAPE | image.weights.network.start << _START
    codes = [*image.weights.step_codes.tolist(), 0]
    pairs = [low | high << 4 for low, high in zip(codes[::2], codes[1::2], strict=False)]
    head = varint(image.height) + varint(image.width)
    head += bytes([flags, image.pyramid.first | image.pyramid.count << 4, image.gain_code])
    head += bytes(pairs) + bytes(widths) + varint(len(words))
    coded = grids.encode(image.grids, image.weights.context_model)
    return head + words.astype("<u4").tobytes() + coded.astype("<u4").tobytes()


def file_size(image: PyramidImage) -> int:
    """Bytes of the file of an image.

    Raises:
      ValueError: an integer is too large.
    """
    return FRAME + len(build(image))


def parse(height: int, width: int, reader: Reader) -> PyramidImage:
    """The image in what follows its size.

    Raises:
      ValueError: it is damaged, or asks for too much.
    """
    if max(height, width) > MAX_SIDE:
        raise ValueError(f"{width} x {height}: sides have up to {MAX_SIDE:,} pixels")
    flags, sizes, gain_code = reader.take(3)
    start = flags >> _START
    if start > NEWEST_START:
        raise ValueError("its machines start from weights that are unknown here")
    first, count = sizes & 15, sizes >> 4
    if not (count >= 1 and first + count <= MAX_GRIDS):
        raise ValueError(f"{count} grids from 2^{first} pixels a cell are none, or too many")
    network = Network(3 if flags >> _COLOR & 1 else 1, count, first, start)
    groups = network.groups
    pairs = np.frombuffer(reader.take((len(groups) + 1) // 2), np.uint8)
    step_codes = np.stack([pairs & 15, pairs >> 4], 1).ravel()[: len(groups)]
    if step_codes.max() > MAX_STEP_CODE:
        raise ValueError("a step size of its weights is too small")
    widths = list(reader.take(len(groups)))
    shape = flags >> _SHAPE & 3
    if shape >= entropy.SHAPES or max(widths) > entropy.MAX_WIDTH:
        raise ValueError("its entropy model is unknown")
    pyramid = Pyramid(height, width, first, count)
    if pyramid.size > MAX_LATENTS:
        raise ValueError(f"it asks for more than {MAX_LATENTS:,} numbers")
    shapes = [(len(group.rows), *network.shapes[group.name][1:]) for group in groups]
    words = reader.words(reader.varint())
    flat = entropy.decode(words, shape, widths, [math.prod(shape) for shape in shapes])
    integers = [group.reshape(shape) for group, shape in zip(flat, shapes, strict=True)]
    weights = CodedWeights(network, step_codes, integers)
    numbers = grids.decode(reader.words(), pyramid.shapes, weights.context_model)
    levels = 65535 if flags >> _DEEP & 1 else 255
    return PyramidImage(levels, pyramid, gain_code, weights, numbers)
