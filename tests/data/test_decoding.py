"""What Pillow leaves to us, or drops without a word."""

import io
import struct
import warnings
import zlib

import numpy as np
import PIL.Image
import pytest
import tifffile

from dfm_flax.data.decoding import BYTES_A_PIXEL, allow_pixels, decode, read_header
from dfm_flax.errors import UsageError

RNG = np.random.default_rng(0)


def png(height, width, bits, color_type, rows, *chunks):
    """A PNG by the book, of rows of bytes, with more chunks before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")):
        checksum = zlib.crc32(kind + body)
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    return out


def tiff(samples, bits, photometric, packed):
    """A gray TIFF by the book, little-endian, of one strip."""
    height, width = samples.shape
    tags = (
        *((256, width), (257, height), (258, bits), (259, 1), (262, photometric)),
        *((273, 8), (277, 1), (278, height), (279, len(packed))),
    )
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory


def encoded(array, image_format="PNG", **options):
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, image_format, **options)
    return file.getvalue()


# Transparent colors


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_gray_of_any_depth(bits):
    levels = RNG.integers(0, 2**bits, (8, 8))
    levels[0, :2] = 0, 1
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in levels]
    else:
        shifts = np.arange(8 - bits, -1, -bits)
        rows = [
            (row.reshape(-1, 8 // bits) << shifts).sum(1).astype(np.uint8).tobytes()
            for row in levels
        ]
    decoded = decode(png(8, 8, bits, 0, rows, (b"tRNS", struct.pack(">H", 1))))
    np.testing.assert_allclose(decoded.samples[..., 0], levels / (2**bits - 1), atol=1e-6)
    np.testing.assert_array_equal(decoded.samples[..., 1], levels != 1)


def test_a_transparent_color_of_16_bits_is_compared_in_all_of_them():
    levels = np.array([[[1234, 2000, 3000], [1235, 2000, 3000]]])
    rows = [levels.astype(">u2").tobytes()]
    chunk = (b"tRNS", struct.pack(">3H", 1234, 2000, 3000))
    decoded = decode(png(1, 2, 16, 2, rows, chunk))
    np.testing.assert_allclose(decoded.samples[..., :3], levels / 65535, atol=1e-6)
    np.testing.assert_array_equal(decoded.samples[..., 3], [[0, 1]])


# TIFF


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_white_may_be_zero(tmp_path, dtype):
    levels = RNG.random((5, 7)).astype(dtype)
    if dtype != np.float32:
        levels = RNG.integers(0, np.iinfo(dtype).max, (5, 7), dtype, endpoint=True)
    tifffile.imwrite(tmp_path / "a.tif", levels, photometric="miniswhite")
    decoded = decode((tmp_path / "a.tif").read_bytes())
    largest = 1 if dtype == np.float32 else np.iinfo(dtype).max
    np.testing.assert_allclose(decoded.samples[..., 0], 1 - levels / largest, atol=1e-6)


def test_gray_of_12_bits():
    levels = RNG.integers(0, 4096, (4, 6))
    bits = (levels.reshape(-1, 1) >> np.arange(11, -1, -1)) & 1
    decoded = decode(tiff(levels, 12, 1, np.packbits(bits).tobytes()))
    np.testing.assert_allclose(decoded.samples[..., 0], levels / 4095, atol=1e-6)
    assert decoded.levels == 65535


def test_other_pages_are_told_of():
    pages = [PIL.Image.new("L", (7, 5), level) for level in (10, 20, 30)]
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    decoded = decode(file.getvalue())
    assert (decoded.samples == np.float32(10 / 255)).all()
    assert decoded.notes == ("only the first of its 3 pages is read",)


# Depths and texts


def test_a_depth_that_is_lost_is_told():
    levels = RNG.integers(0, 2**16, (5, 7, 2))
    rows = [row.astype(">u2").tobytes() for row in levels]
    decoded = decode(png(5, 7, 16, 4, rows))
    assert decoded.levels == 255
    assert decoded.notes == ("its 16 bits a sample are read as 8",)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_long_text_is_no_obstacle(kind):
    between = b"\0\0" if kind == b"zTXt" else b"\0\1\0\0\0"
    text = b"history" + between + zlib.compress(b"x" * 3_000_000)
    decoded = decode(png(1, 2, 8, 0, [b"\x00\xff"], (kind, text)))
    assert decoded.samples[..., 0].tolist() == [[0, 1]]
    assert decoded.notes == ()


def test_what_pillow_warns_of_is_a_note_and_no_line_of_python():
    file = io.BytesIO()
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x8769, 2, 99, 10_000)
    PIL.Image.new("L", (16, 16)).save(file, "JPEG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoded = decode(file.getvalue())
    assert decoded.notes
    assert not any("\n" in note for note in decoded.notes)


# Sizes and memory


def test_more_pixels_can_be_allowed_where_memory_is(monkeypatch):
    data = encoded(np.zeros((10, 20), np.uint8))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 150)
    for look in (decode, read_header):
        with pytest.raises(UsageError, match="more than 150 pixels, namely 200; --max-pixels 200"):
            look(data)
    allow_pixels(200)
    assert read_header(data).width == 20
    assert decode(data).samples.shape == (10, 20, 1)
    free = type("Memory", (), {"available": 200 * BYTES_A_PIXEL - 1})
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    assert decode(data).samples.shape == (10, 20, 1)  # too small to ask for the free memory
    monkeypatch.setattr("dfm_flax.data.decoding._SMALL", 199)
    assert read_header(data).width == 20
    with pytest.raises(UsageError, match="takes 9,600 bytes of memory"):
        decode(data)


# Formats of plug-ins


@pytest.mark.parametrize(
    ("image_format", "suffix", "plugin"),
    [("HEIF", ".heic", "pillow_heif"), ("JXL", ".jxl", "pillow_jxl")],
)
def test_formats_whose_plugins_are_installed(image_format, suffix, plugin):
    pytest.importorskip(plugin)
    assert suffix in PIL.Image.registered_extensions()
    levels = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
    decoded = decode(encoded(levels, image_format, quality=95))
    np.testing.assert_allclose(decoded.samples, levels / 255, atol=0.05)
    assert decoded.notes == ()
