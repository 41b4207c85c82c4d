"""Tests of reading IDX files: the format by the book, and every way in which a file can be bad."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfm_flax.data.idx import read_idx
from dfm_flax.errors import UsageError

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)


def idx(array):
    """An IDX file of bytes, written by the format's description."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


# Of no time: the names of tests, which have it in them, are the same in all processes of pytest.
ZIPPED = gzip.compress(idx(IMAGES), mtime=0)


@pytest.fixture
def read(tmp_path):
    def read(content, num_axes=3):
        (tmp_path / "file").write_bytes(content)
        return read_idx(tmp_path / "file", num_axes)

    return read


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_images_and_labels(read, pack):
    np.testing.assert_array_equal(read(pack(idx(IMAGES))), IMAGES)
    labels = np.arange(7, dtype=np.uint8)
    np.testing.assert_array_equal(read(pack(idx(labels)), 1), labels)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing, not with 00 00 08 03"),
        (b"\x89PNG\r\n", "starts with 89 50 4e 47, not with 00 00 08 03 as an IDX file of images"),
        (idx(np.arange(5, dtype=np.uint8)), "starts with 00 00 08 01"),
        (idx(IMAGES)[:9], "cut off in its header"),
        (idx(IMAGES)[:-1], "holds 59 bytes where its header says 3 x 4 x 5"),
        (idx(IMAGES) + b"x", "holds 61 bytes where its header says 3 x 4 x 5"),
        (ZIPPED[:-12], "gzip data is cut off or damaged"),
        (ZIPPED[:5], "gzip data is cut off or damaged"),
        (ZIPPED[:-8] + bytes(8), "gzip data is cut off or damaged"),
        (idx(IMAGES)[:4] + b"\xff" * 12, "holds 0 bytes"),
    ],
)
def test_bad_files_are_told_in_one_line(read, tmp_path, content, message):
    with pytest.raises(UsageError) as raised:
        read(content)
    assert message in str(raised.value)
    assert str(tmp_path / "file") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_missing_file(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_idx(tmp_path / "none", 1)


@given(
    content=st.binary(max_size=40)
    | st.binary(max_size=30).map(lambda rest: bytes([0, 0, 8, 3]) + rest)
    | st.binary(max_size=40).map(lambda rest: b"\x1f\x8b" + rest)
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_an_array_that_says_the_same_or_a_usage_error(read, content):
    try:
        array = read(content)
    except UsageError:
        return
    assert idx(array) == content
