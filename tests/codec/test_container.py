import contextlib
import dataclasses
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfm_flax.codec import container
from dfm_flax.codec.container import MAGIC, from_bytes, read, to_bytes, write
from dfm_flax.data.images import read_image
from dfm_flax.errors import UsageError
from dfm_flax.fourier import Additive
from dfm_flax.models.rendering import render

FIELDS = ("depth", "widths", "channels", "residual", "extent")


def same(a, b):
    assert (a.height, a.width, a.levels) == (b.height, b.width, b.levels)
    assert [getattr(a.machine, f) for f in FIELDS] == [getattr(b.machine, f) for f in FIELDS]
    np.testing.assert_array_equal(a.step_codes, b.step_codes)
    for x, y in zip(a.integers, b.integers, strict=True):
        np.testing.assert_array_equal(x, y)
    assert a.params.keys() == b.params.keys()
    positions = np.random.default_rng(0).uniform(size=(50, 2)).astype(np.float32)
    np.testing.assert_array_equal(
        a.machine.apply({"params": a.params}, positions),
        b.machine.apply({"params": b.params}, positions),
    )


def with_checksum(body):
    return bytes(body) + struct.pack("<I", zlib.crc32(bytes(body)))


def test_round_trip(quantized, tmp_path):
    for name in quantized.names:
        image = quantized(name, height=300, width=2, levels=65535 if name == "mixed" else 255)
        assert write(tmp_path / "a.dfm", image) == (tmp_path / "a.dfm").stat().st_size
        same(image, read(tmp_path / "a.dfm"))


def test_the_header_is_as_documented(quantized):
    """Read by hand, as docs/reference/file_format.md has it."""
    image = quantized("best", height=300, width=20)
    data = to_bytes(image)
    assert data[:5] == b"\x8cDFM\x01"
    assert data[5:8] == bytes([300 & 127 | 128, 300 >> 7, 20])
    assert data[8] & 0b00111111 == 0b00111001  # additive in all three, RGB
    assert data[9:13] == bytes([4, 8, 1, 1])  # depth, frequencies
    assert data[13] == 6  # width
    assert struct.unpack("<f", data[14:18]) == (np.float32(0.7),)
    assert data[18 : 18 + 15] == image.step_codes.tobytes()
    assert (len(data) - 18 - 2 * 15 - 4) % 4 == 0
    assert data[-4:] == struct.pack("<I", zlib.crc32(data[:-4]))


def test_widths_of_their_own_are_version_2(quantized):
    one, each = to_bytes(quantized("best")), to_bytes(quantized("tapered"))
    assert (one[4], each[4]) == (1, 2)
    assert each[8:12] == bytes([4, 8, 2, 2])  # depth, frequencies
    assert each[12:15] == bytes([7, 5, 2])
    assert struct.unpack("<f", each[15:19]) == (np.float32(0.7),)


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match=r"none.dfm: No such file"):
        read(tmp_path / "none.dfm")


def hostile(offset, new, data, remove=None):
    """The file with some bytes replaced and a right checksum."""
    end = offset + (len(new) if remove is None else remove)
    return with_checksum(data[:offset] + new + data[end:-4])


HOSTILE = {
    "10^9 pixels": (5, b"\xff\xff\x01" * 2, 2, "no pixels, or more than"),
    "no pixels": (5, b"\x00", None, "no pixels"),
    "endless number": (5, b"\xff" * 5, None, "has no end"),
    "depth 255": (8, b"\xff", None, "no machine has depth 255"),
    "depth 1": (8, b"\x01", None, "no machine has depth 1"),
    "frequency 0": (9, b"\x00", None, "at least 1"),
    "width of millions": (12, b"\xff\xff\x7f", 1, "1 to 1024 features, not 2097151"),
    "width 0": (12, b"\x00", 1, "1 to 1024 features"),
    "width 1000": (12, b"\xe8\x07", 1, "asks for more than"),
    "all frequencies of 1000 arguments": (
        7,
        b"\x01\x08\xff\xff\xff\xe8\x07",
        6,
        "too many to count",
    ),
    "extent nan": (13, struct.pack("<f", np.nan), None, "extent"),
    "extent 10^30": (13, struct.pack("<f", 1e30), None, "extent"),
    "unknown shape": (7, b"\xf9", None, "entropy model is unknown"),
    "model too wide": (17 + 15, b"\xff" * 15, None, "entropy model is unknown"),
    "half a word": (17 + 30, b"\x00", 0, "in the middle of a word"),
    "too many words": (17 + 30, b"\x01" * 4000, 0, "its integers|in it"),
    "ends in the header": (12, b"", 10**6, "in the middle of its header"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_line(quantized, name):
    offset, new, remove, message = HOSTILE[name]
    data = to_bytes(quantized("best"))
    with pytest.raises(UsageError, match=message) as raised:
        from_bytes(hostile(offset, new, data, remove), "x.dfm")
    assert str(raised.value).startswith("cannot read x.dfm: ")
    assert "\n" not in str(raised.value)


def test_wrong_kind_version_and_checksum(quantized):
    data = to_bytes(quantized("best"))
    for wrong, message in (
        (b"", "no .dfm file"),
        (b"\x89PNG\r\n\x1a\n", "no .dfm file"),
        (MAGIC, "damaged or cut short"),
        (MAGIC + b"\x03" + data[5:], "version 3 of the format, and this dfm_flax reads up to 2"),
        (with_checksum(MAGIC + b"\x00" + data[5:-4]), "no version 0"),
        (data[:-1], "damaged or cut short"),
        (data + b"\x00", "damaged or cut short"),
    ):
        with pytest.raises(UsageError, match=message):
            from_bytes(wrong)


def test_every_truncation_and_flipped_bit_is_noticed(quantized):
    data = to_bytes(quantized("best"))
    for length in range(len(data)):
        with pytest.raises(UsageError):
            from_bytes(data[:length])
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UsageError):
            from_bytes(bytes(flipped))


def test_limits_hold_for_writing(quantized):
    with pytest.raises(ValueError, match="no pixels, or more"):
        to_bytes(quantized("best", height=10**5, width=10**5))


class Unwritten(Additive):
    """A basis that the format does not know."""

    code = None


def test_a_basis_without_a_code_cannot_be_written(quantized, tmp_path):
    image = quantized("best")
    for basis, reason in ((Unwritten(8), "has no code"), (Additive(256), "end at 255")):
        machine = image.machine.clone(basis=(basis, Additive(1), Additive(1)))
        with pytest.raises(UsageError, match=reason) as raised:
            write(tmp_path / "a.dfm", dataclasses.replace(image, machine=machine))
        assert str(raised.value).startswith(f"cannot write {tmp_path / 'a.dfm'}: no file can hold")
        assert "\n" not in str(raised.value)
        assert not (tmp_path / "a.dfm").exists()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([b"\x01", b"\x02", None]))
def test_any_bytes_are_refused(noise, version):
    data = noise if version is None else with_checksum(MAGIC + version + noise)
    with contextlib.suppress(UsageError):
        from_bytes(data)


@pytest.mark.slow
def test_ten_thousand_mutations_with_right_checksums(quantized):
    """Whatever is read is an image that can be drawn; all else is a UsageError."""
    rng = np.random.default_rng(0)
    files = [to_bytes(quantized(name, seed)) for name in quantized.names for seed in range(3)]
    read_well = 0
    for i in range(10_000):
        body = bytearray(files[i % len(files)][:-4])
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(5, len(body) if rng.random() < 0.3 else 60))
            kind = rng.integers(4)
            if kind == 0:
                body[place] = rng.integers(256)
            elif kind == 1:
                body[place] ^= 1 << int(rng.integers(8))
            elif kind == 2:
                del body[place : place + int(rng.integers(1, 9))]
            else:
                body[place:place] = rng.bytes(int(rng.integers(1, 9)))
            if len(body) < 70:
                break
        try:
            image = from_bytes(with_checksum(body))
        except UsageError:
            continue
        read_well += 1
        weights = sum(layer.size for layer in image.integers)
        assert weights <= container.FREE_WEIGHTS + container.MAX_WEIGHTS_PER_BYTE * len(body)
        assert image.height * image.width <= container.MAX_PIXELS
        assert all(np.isfinite(p["coefficients"]).all() for p in image.params.values())
    assert 100 < read_well < 9_900


# Of each version, by its first writer: the file, SHA-256 of its integers, its step codes.
GOLDEN = {
    1: (
        "cdf3783f8219f9155cc862fc00c2c6388b5bc4f0325089b1346c832e6b90a080",
        [71, 70, 70, 70, 70, 71, 70, 70, 70, 70, 67, 66, 62, 62, 55, 59, 55],
    ),
    2: (
        "af6130b2f360d235e020ac86045d31ffc1f52fa8eefa13b5907d9e4559e138a6",
        [72, 68, 69, 68, 68, 68, 68, 68, 67, 67, 64, 68, 64, 70, 68, 70, 72, 67, 65, 66],
    ),
}
each_version = pytest.mark.parametrize("version", GOLDEN)


def golden(version):
    return Path(__file__).parent / f"golden_v{version}.dfm"


def off_by(picture, version):
    """The largest difference to the picture that the first reader made, in levels."""
    expected = read_image(golden(version).with_suffix(".png")).pixels
    return np.abs(np.rint(picture * 255) - expected * 255).max()


@each_version
def test_old_files_stay_readable(version):
    """Files that were written when their version was new, and what they then were."""
    image = read(golden(version))
    digest, step_codes = GOLDEN[version]
    assert (image.height, image.width, image.levels) == (48, 48, 255)
    integers = np.concatenate([layer.ravel() for layer in image.integers]).astype("<i4")
    assert hashlib.sha256(integers.tobytes()).hexdigest() == digest
    assert image.step_codes.tolist() == step_codes
    assert off_by(render(image.machine, image.params, 48, 48), version) <= 1.001


@each_version
def test_files_are_written_as_they_were(version):
    data = golden(version).read_bytes()
    assert data[4] == version
    assert to_bytes(from_bytes(data)) == data


@each_version
def test_old_files_are_what_the_formulas_say_in_float64(version):
    """By docs/reference/file_format.md alone: additive series at the pixels' centers."""
    image = read(golden(version))
    frequencies = {1: [8, 1, 1, 1, 1], 2: [8, 1, 1, 1, 1, 2]}[version]
    centers = (np.arange(48) + 0.5) / 48
    x = image.machine.extent * np.stack(np.meshgrid(centers, centers), axis=-1)
    for i, frequency in enumerate(frequencies):
        coefficients = image.params[f"layer_{i}"]["coefficients"].astype(np.float64)
        angles = np.concatenate([2 * np.pi * f * x for f in range(1, frequency + 1)], axis=-1)
        waves = np.concatenate([np.ones_like(x[..., :1]), np.cos(angles), np.sin(angles)], axis=-1)
        x = waves @ coefficients
    assert off_by((np.tanh(x) + 1) / 2, version) <= 1.001
