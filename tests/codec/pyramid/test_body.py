import dataclasses
import itertools
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfm_flax.codec import entropy, grids
from dfm_flax.codec.container import MAX_PIXELS, file_size, from_bytes, read, to_bytes, write
from dfm_flax.codec.context_model import LARGEST
from dfm_flax.codec.fields import varint
from dfm_flax.codec.pyramid import body
from dfm_flax.codec.pyramid.geometry import MAX_LATENTS, MAX_SIDE, Pyramid
from dfm_flax.codec.pyramid.image import gain_code_of, gain_of
from dfm_flax.codec.pyramid.network import NEWEST_START, Network
from dfm_flax.data.images import read_image
from dfm_flax.errors import UsageError

GOLDEN = [Path(__file__).parent / f"golden_v3{start}.dfm" for start in ("", "_start_1")]


def same(a, b):
    assert (a.levels, a.pyramid, a.gain_code) == (b.levels, b.pyramid, b.gain_code)
    assert a.weights.network == b.weights.network
    np.testing.assert_array_equal(a.weights.step_codes, b.weights.step_codes)
    for x, y in itertools.chain(
        zip(a.weights.integers, b.weights.integers, strict=True), zip(a.grids, b.grids, strict=True)
    ):
        np.testing.assert_array_equal(x, y)


def with_checksum(data):
    return bytes(data) + struct.pack("<I", zlib.crc32(bytes(data)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channels": 1, "levels": 65535},
        {"height": 1, "width": 1, "count": 7},
        {"height": 1, "width": 300, "first": 1, "count": 3, "spread": 30.0},
        {"height": 200, "width": 3, "first": 6, "count": 1, "gain_code": 255},
        {"spread": 0.0, "gain_code": 0},
    ],
)
def test_round_trip(changes, pyramid_image, tmp_path):
    image = pyramid_image(**changes)
    size = write(tmp_path / "a.dfm", image)
    assert size == (tmp_path / "a.dfm").stat().st_size == file_size(image) == body.file_size(image)
    again = read(tmp_path / "a.dfm")
    same(image, again)
    assert (again.height, again.width) == (image.height, image.width)
    assert (again.channels, again.num_weights) == (image.channels, image.num_weights)
    assert to_bytes(again) == (tmp_path / "a.dfm").read_bytes()


@pytest.mark.parametrize("start", range(NEWEST_START + 1))
def test_the_header_is_as_documented(start, pyramid_image):
    """Read by hand, as docs/reference/file_format.md has it."""
    image = pyramid_image(300, 20, first=1, count=3, levels=65535, gain_code=77, start=start)
    data = to_bytes(image)
    assert data[:5] == b"\x8cDFM\x03"
    assert data[5:8] == bytes([300 & 127 | 128, 300 >> 7, 20])
    assert data[8] & 0b11110011 == start << 4 | 0b11  # color, 16 bits
    assert data[9:11] == bytes([1 | 3 << 4, 77])  # from cells of 2 pixels on, three grids
    groups = len(image.weights.network.groups)
    assert groups == 15
    codes = [*image.weights.step_codes.tolist(), 0]
    for byte, low, high in zip(data[11:19], codes[::2], codes[1::2], strict=True):
        assert (byte & 15, byte >> 4) == (low, high)
    shape, widths, words = entropy.encode(image.weights.integers)
    assert data[8] >> 2 & 3 == shape
    assert list(data[19:34]) == widths
    start = 34 + len(varint(len(words)))
    assert data[34:start] == varint(len(words))
    end = start + 4 * len(words)
    assert data[start:end] == words.astype("<u4").tobytes()
    coded = grids.encode(image.grids, image.weights.context_model)
    assert data[end:-4] == coded.astype("<u4").tobytes()
    assert data[-4:] == struct.pack("<I", zlib.crc32(data[:-4]))


def test_gains_are_eighths_of_octaves():
    codes = np.arange(256)
    gains = np.array([gain_of(int(code)) for code in codes])
    np.testing.assert_allclose(gains, 2.0 ** ((codes - 64) / 8), rtol=1e-7)
    assert [gain_code_of(gain) for gain in gains] == codes.tolist()
    assert (gain_code_of(1e-9), gain_code_of(1e12)) == (0, 255)


def cut(data, place, new, remove=None):
    """The file with some bytes replaced and a right checksum."""
    end = place + (len(new) if remove is None else remove)
    return with_checksum(data[:place] + new + data[end:-4])


# Of the image of 18 x 11 pixels: its height is byte 5, flags are 7, sizes 8, codes 10, widths 18.
HOSTILE = {
    "10^9 pixels": (5, b"\xff\xff\x01" * 2, 2, "no pixels, or more than"),
    "no pixels": (5, b"\x00", None, "no pixels"),
    "a long side": (6, varint(MAX_SIDE + 1), 1, "sides have up to 32,768 pixels"),
    "many numbers": (5, varint(2**13) + varint(2**14), 2, "asks for more than 33,554,432 numbers"),
    "another start": (7, b"\x21", None, "start from weights that are unknown"),
    "the last flag": (7, b"\x81", None, "start from weights that are unknown"),
    "no grids": (8, b"\x00", None, "0 grids"),
    "eight grids": (8, b"\x80", None, "8 grids"),
    "grids of 128 pixels": (8, b"\x44", None, r"4 grids from 2\^4"),
    "cells of 2^15 pixels": (8, b"\x1f", None, r"1 grids from 2\^15"),
    "a step of 2^-15": (10, b"\xff", None, "step size of its weights is too small"),
    "unknown shape": (7, b"\x0d", None, "entropy model is unknown"),
    "model too wide": (18, b"\xff" * 15, None, "entropy model is unknown"),
    "endless number": (33, b"\xff" * 5, 1, "has no end"),
    "more words than bytes": (33, b"\xff\xff\xff\xff\x7f", 1, "in the middle of its header"),
    "no words of weights": (33, b"\x00", 1, "damaged|in it"),
    "half a word": (-4, b"\x00", 0, "in the middle of a word"),
    "too many words": (-4, b"\x01" * 4000, 0, "in it"),
    "no grids behind weights": (-24, b"", 20, "damaged|in it"),
    "ends in the header": (20, b"", 10**6, "in the middle of its header"),
    "ends in the size": (6, b"", 10**6, "in the middle of its header"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_line(name, pyramid_image):
    place, new, remove, message = HOSTILE[name]
    data = to_bytes(pyramid_image())
    place = place if place >= 0 else len(data) + place
    with pytest.raises(UsageError, match=message) as raised:
        from_bytes(cut(data, place, new, remove), "x.dfm")
    assert str(raised.value).startswith("cannot read x.dfm: ")
    assert "\n" not in str(raised.value)


def test_a_context_beyond_its_limits_is_refused(pyramid_image):
    """A reader could not compute with such weights; a writer sees to that."""
    image = pyramid_image(spread=0.0)
    levels = len(image.weights.integers) - 1
    image.weights.step_codes[levels] = 0
    image.weights.integers[levels][:] = 100
    with pytest.raises(ValueError, match="exceeds 64"):
        to_bytes(image)
    limits = (grids, "encode", lambda *_: np.zeros(1, np.uint32))
    with pytest.MonkeyPatch.context() as patched:
        # As one would write who does not look.
        patched.setattr(*limits)
        patched.setattr(type(image.weights), "context_model", None)
        data = with_checksum(b"\x8cDFM\x03" + body.build(image))
    with pytest.raises(UsageError, match="exceeds 64"):
        from_bytes(data)


def test_what_asks_for_much_is_refused_before_it_is_allocated(pyramid_image):
    data = to_bytes(pyramid_image(spread=0.0))
    tracemalloc.start()
    begin = time.process_time()
    for height, width in ((2**13, 2**14), (MAX_SIDE + 1, 1), (1, MAX_PIXELS)):
        with pytest.raises(UsageError, match=r"asks for more|sides have"):
            from_bytes(cut(data, 5, varint(height) + varint(width), 2))
    assert time.process_time() - begin < 1
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_most_numbers_take_seconds(pyramid_image):
    """A small file that asks for a million, which is a thirtieth of the most."""
    image = pyramid_image(1024, 768, spread=0.0)
    image.weights.integers[-1][:] = 0
    data = to_bytes(image)
    assert len(data) < 5_000
    begin = time.process_time()
    assert not any(grid.any() for grid in from_bytes(data).grids)
    assert time.process_time() - begin < MAX_LATENTS / image.pyramid.size / 5


def test_limits_hold_for_writing(pyramid_image):
    image = pyramid_image()
    with pytest.raises(ValueError, match="sides have"):
        to_bytes(dataclasses.replace(image, pyramid=Pyramid(1, MAX_SIDE + 1, 0, 4)))
    image.grids[0][0, 0] = LARGEST + 1
    with pytest.raises(ValueError, match="above 32767"):
        to_bytes(image)
    image.grids[0][0, 0] = 0
    image.weights.integers[3][0] = entropy.LARGEST + 1
    with pytest.raises(ValueError, match="above 32767"):
        to_bytes(image)


def test_every_truncation_and_flipped_bit_is_noticed(pyramid_image):
    data = to_bytes(pyramid_image(4, 5, count=1, spread=0.3))
    for length in range(len(data)):
        with pytest.raises(UsageError):
            from_bytes(data[:length])
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UsageError):
            from_bytes(bytes(flipped))


def test_files_cut_short_with_right_checksums_are_refused(pyramid_image):
    """Each field misses its end. The last words may be some that a reader needs not."""
    data = to_bytes(pyramid_image(4, 5, count=1, spread=0.3))
    for length in range(5, len(data) - 12):
        with pytest.raises(UsageError):
            from_bytes(with_checksum(data[:length]))


@pytest.fixture(scope="module")
def whole_files(pyramid_image):
    """Of several shapes, without their checksums."""
    shapes = [
        {"height": 4, "width": 5, "count": 1}, {"channels": 1}, {"spread": 20.0}, {"first": 2},
    ]  # fmt: skip
    return [to_bytes(pyramid_image(**shape))[:-4] for shape in shapes]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 3),
    st.lists(
        st.tuples(
            st.integers(0, 10**6), st.sampled_from("rbdi"), st.binary(min_size=1, max_size=6)
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_mutations_with_right_checksums(whole_files, which, mutations):
    """Whatever is read is within the limits and has finite weights; all else is a UsageError."""
    data = bytearray(whole_files[which])
    for where, kind, new in mutations:
        # The header has most to say, and is short.
        place = 5 + where % (min(40, len(data) - 5) if where % 3 else len(data) - 5)
        if kind == "r":
            data[place : place + len(new)] = new
        elif kind == "b":
            data[place] ^= 1 << new[0] % 8
        elif kind == "d":
            del data[place : place + len(new)]
        else:
            data[place:place] = new
        if len(data) < 20:
            break
    try:
        image = from_bytes(with_checksum(data))
    except UsageError:
        return
    assert image.pyramid.size <= MAX_LATENTS
    assert max(image.height, image.width) <= MAX_SIDE
    assert all(np.isfinite(array).all() for array in image.weights.floats.values())
    assert all(np.abs(grid).max() <= LARGEST for grid in image.grids)


def test_the_largest_weights_and_numbers_are_drawn(pyramid_image):
    """Pictures of hostile files have values, too."""
    image = pyramid_image(6, 7, count=2, gain_code=255)
    for grid in image.grids:
        grid[:] = LARGEST * (-1) ** np.arange(grid.size).reshape(grid.shape)
    image.weights.step_codes[:] = 0
    for group, integers in zip(image.weights.network.groups, image.weights.integers, strict=True):
        integers[:] = 60 if group.name.startswith("context") else entropy.LARGEST
    picture = from_bytes(to_bytes(image)).decoded()
    assert ((picture >= 0) & (picture <= 1)).all()


@pytest.mark.parametrize("start", range(NEWEST_START + 1))
def test_golden_files_stay_readable(start):
    """Those that were written when the start was new, and the picture that they then were."""
    image = read(GOLDEN[start])
    assert image.weights.network.start == start
    expected = read_image(GOLDEN[start].with_suffix(".png")).pixels
    picture = image.decoded()
    assert picture.shape == expected.shape == (48, 64, 3)
    assert np.abs(255 * picture - 255 * expected).max() <= 1.001
    assert to_bytes(image) == GOLDEN[start].read_bytes()


@pytest.mark.parametrize("start", range(NEWEST_START + 1))
def test_golden_files_are_what_the_formulas_say_in_float64(start, textbook):
    """By docs/reference/file_format.md alone: series by sums of cosines, layers, the filter."""
    image = read(GOLDEN[start])
    values = []
    for grid, exponent in zip(image.grids, image.pyramid.exponents, strict=True):
        at = [(np.arange(size) + 0.5) / 2**exponent for size in (48, 64)]
        series = []
        for size, positions in zip(grid.shape, at, strict=True):
            k = np.arange(size)
            to_coefficients = np.cos(np.pi / size * np.outer(k, k + 0.5)) * 2 / size
            to_coefficients[0] /= 2
            series.append(np.cos(np.pi / size * np.outer(positions, k)) @ to_coefficients)
        unit = 2 ** ((image.gain_code - 64) / 8 - (max(0, exponent - 2) if start == 1 else 0))
        values.append(unit * series[0] @ grid @ series[1].T)
    weights = {name: array / 2.0**14 for name, array in image.weights.whole.items()}
    picture = textbook.draw(weights, np.array(values))
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="edge")
    for a, b in itertools.product(range(3), repeat=2):
        shifted = padded[:, a : a + 48, b : b + 64]
        picture = picture + np.einsum("oc,cyx->oyx", weights["filter"][:, a, b], shifted)
    picture = np.clip(picture, 0, 1).transpose(1, 2, 0)
    assert np.abs(255 * image.decoded() - 255 * picture).max() < 0.51


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3]), st.integers(0, 6),
    st.sampled_from([0.0, 0.01, 1.0, 300.0]), st.sampled_from([255, 65535]),
)  # fmt: skip
def test_files_of_any_size_are_written_and_read(
    pyramid_image, height, width, channels, first, spread, levels
):
    image = pyramid_image(height, width, channels, first, 7 - first, levels, spread=spread)
    same(image, from_bytes(to_bytes(image)))


def test_a_large_black_image_has_a_file():
    """Of millions of numbers that take next to nothing."""
    network = Network(1, 7)
    codes = np.zeros(len(network.groups), np.uint8)
    from dfm_flax.codec.pyramid.image import PyramidImage
    from dfm_flax.codec.pyramid.start import start_floats
    from dfm_flax.codec.pyramid.weights import CodedWeights

    pyramid = Pyramid(1500, 2000, 0, 7)
    weights = CodedWeights.rounded(start_floats(network), network, codes)
    black = PyramidImage(
        255, pyramid, 0, weights, [np.zeros(shape, np.int32) for shape in pyramid.shapes]
    )
    assert len(to_bytes(black)) < 20_000
