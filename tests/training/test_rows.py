"""Rows of an array that processes share; what they do together is in test_checkpoints_by_all."""

import hashlib

import numpy as np
import pytest

from dfm_flax import cluster
from dfm_flax.training.rows import BLOCK, Rows, digest_of_rows

WHOLE = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)


@pytest.fixture
def as_process(monkeypatch):
    def be(place, num):
        monkeypatch.setattr(cluster, "place", lambda: (place, num))

    return be


@pytest.mark.parametrize("size", [32, 48, 112])
def test_the_parts_are_the_array(as_process, size):
    parts = []
    for place in range(-(-len(WHOLE) // size)):
        as_process(place, 0)
        rows = Rows.of(WHOLE, size)
        assert (rows.shape, rows.dtype, len(rows.own)) == ((100, 3), np.float32, size)
        parts.append(rows.own)
    together = np.concatenate(parts)
    np.testing.assert_array_equal(together[:100], WHOLE)
    assert not together[100:].any()


@pytest.mark.parametrize("size", [32, 48, 112])
def test_the_digest_is_the_same_whatever_the_parts(as_process, monkeypatch, size):
    """Each process has the blocks of its rows; the array's are all of them in order."""
    blocks = []
    monkeypatch.setattr(cluster, "joined_rows", lambda ours: blocks.append(ours) or ours)
    for place in range(-(-len(WHOLE) // size)):
        as_process(place, 0)
        Rows.of(WHOLE, size).digest()
    whole = [hashlib.sha256(WHOLE[i : i + BLOCK].tobytes()).digest() for i in range(0, 100, BLOCK)]
    assert np.concatenate(blocks).tobytes() == b"".join(whole)
    expected = hashlib.sha256(b"float32(100, 3)" + b"".join(whole)).hexdigest()
    assert digest_of_rows(WHOLE) == expected


def test_the_digest_sees_values_types_shapes_and_order():
    changed = WHOLE.copy()
    changed[99, 2] = np.nextafter(changed[99, 2], 9)
    variants = [WHOLE, changed, WHOLE[::-1], WHOLE[:96], WHOLE.view(np.int32), WHOLE.reshape(50, 6)]
    assert len({digest_of_rows(variant) for variant in variants}) == len(variants)


def test_one_process_has_all():
    rows = Rows.of(WHOLE, 112)
    assert rows.digest() == digest_of_rows(WHOLE)
    np.testing.assert_array_equal(rows.whole(), WHOLE)
    array = rows.array()
    assert (array.shape, array.sharding) == (rows.struct.shape, rows.struct.sharding)
    np.testing.assert_array_equal(rows.filled(array).own, rows.own)


def test_a_part_that_cuts_a_block_is_a_mistake():
    with pytest.raises(AssertionError):
        Rows.of(WHOLE, BLOCK + 1)
