"""Tiny data sets as their original files hold them."""

import gzip
import struct

import numpy as np
import PIL.Image
import pytest


def idx(array):
    """An IDX file of bytes, written by the format's description."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def digits():
    """Images [N, 28, 28] and labels [N] of 25 train and 10 test examples."""
    rng = np.random.default_rng(0)
    return {
        split: (rng.integers(0, 256, (n, 28, 28), np.uint8), rng.integers(0, 10, n))
        for split, n in (("train", 25), ("test", 10))
    }


@pytest.fixture
def idx_folder(tmp_path, digits):
    """A folder with the four files, one of them not gzipped."""
    folder = tmp_path / "originals"
    folder.mkdir()
    for split, stem in (("train", "train"), ("test", "t10k")):
        images, labels = digits[split]
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    packed = folder / "t10k-labels-idx1-ubyte.gz"
    packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return folder


@pytest.fixture
def class_folder(tmp_path):
    """A folder {train,test}/{class}/N.png of 10 classes, 2 train and 1 test images each."""
    rng = np.random.default_rng(1)
    folder = tmp_path / "classes"
    for split, count in (("train", 2), ("test", 1)):
        for label in "jihgfedcba":
            for i in range(count):
                path = folder / split / f"class {label}" / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = rng.integers(0, 256, (32, 32, 3), np.uint8)
                image[0, 0] = ord(label)
                PIL.Image.fromarray(image).save(path)
    return folder
