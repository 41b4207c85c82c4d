"""Tests of CIFAR-10's own files, as Python 2 pickled them and as the binary version lays them."""

import contextlib
import io
import os
import pickle
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfm_flax.data.cifar import is_cifar, read_cifar
from dfm_flax.errors import UsageError

RNG = np.random.default_rng(0)
NAMES = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
CLASSES = ["airplane", "automobile", "bird"]
IMAGES = {name: RNG.integers(0, 256, (4, 32, 32, 3), np.uint8) for name in NAMES}
LABELS = {name: RNG.integers(0, 3, 4) for name in NAMES}


class Python2Pickler(pickle._Pickler):
    """Writes texts and bytes as Python 2's only string, and NumPy's functions by old names."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        data = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + len(data).to_bytes(4, "little") + data)

    dispatch[str] = dispatch[bytes] = save_string


def python2_pickle(value):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def planes(images):
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def python_files(dump=python2_pickle):
    files = {
        f"cifar-10-batches-py/{name}": dump(
            {"data": planes(IMAGES[name]), "labels": LABELS[name].tolist(), "batch_label": "x"}
        )
        for name in NAMES
    }
    return files | {"cifar-10-batches-py/batches.meta": dump({"label_names": CLASSES})}


def binary_files():
    files = {
        f"cifar-10-batches-bin/{name}.bin": np.concatenate(
            [LABELS[name][:, np.newaxis].astype(np.uint8), planes(IMAGES[name])], axis=1
        ).tobytes()
        for name in NAMES
    }
    return files | {"batches.meta.txt": ("\n".join(CLASSES) + "\n\n").encode()}


@pytest.mark.parametrize(
    "files",
    [python_files(), python_files(lambda value: pickle.dumps(value, 4)), binary_files()],
    ids=["python 2", "python 3", "binary"],
)
def test_both_versions(files):
    assert is_cifar(files)
    splits, class_names = read_cifar(files, "here")
    assert class_names == tuple(CLASSES)
    for split, names in {"train": NAMES[:5], "test": NAMES[5:]}.items():
        images, labels = splits[split]
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(images, np.concatenate([IMAGES[name] for name in names]))
        np.testing.assert_array_equal(labels, np.concatenate([LABELS[name] for name in names]))


def test_other_files_are_not_cifar():
    assert not is_cifar(["train/cat/batch.png", "batches.meta"])


def without(files, name):
    return {path: content for path, content in files.items() if not path.endswith(name)}


def changed(files, name, content):
    return {path: content if path.endswith(name) else old for path, old in files.items()}


class Evil:
    def __reduce__(self):
        return os.system, ("echo harm > /dev/stderr",)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (without(python_files(), "batch_3"), "here: data_batch_3 of CIFAR-10 missing"),
        (without(python_files(), "meta"), "batches.meta of CIFAR-10 missing"),
        (without(binary_files(), "meta.txt"), "batches.meta.txt of CIFAR-10 missing"),
        (changed(binary_files(), "test_batch.bin", b"abc"), "3 bytes are no whole records"),
        (changed(binary_files(), "test_batch.bin", b""), "0 bytes are no whole records"),
        (changed(python_files(), "batch_2", b"abc"), "data_batch_2: cannot be read"),
        (changed(python_files(), "batch_2", python2_pickle([1])), "data_batch_2: no file of"),
        (changed(python_files(), "batch_2", python2_pickle({"data": 1})), "no batch of CIFAR-10"),
        (
            changed(
                python_files(),
                "batch_2",
                python2_pickle({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}),
            ),
            "data_batch_2: 2 images but 1 labels",
        ),
        (
            changed(
                python_files(),
                "batch_2",
                python2_pickle({"data": np.zeros((1, 3072), np.uint8), "labels": [2**40]}),
            ),
            "no batch of CIFAR-10",
        ),
        (changed(python_files(), "meta", python2_pickle({})), "batches.meta has no label_names"),
    ],
)
def test_bad_files_are_told_in_one_line(files, message):
    with pytest.raises(UsageError) as raised:
        read_cifar(files, "here")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pickle_cannot_run_anything(capfd):
    with pytest.raises(UsageError, match="has no place in a data set"):
        read_cifar(changed(python_files(), "test_batch", pickle.dumps(Evil())), "here")
    assert "harm" not in capfd.readouterr().err


@given(st.binary(max_size=60), st.integers(0, 200))
@settings(deadline=None)
def test_damaged_pickles_are_usage_errors_at_worst(noise, place):
    content = python_files()["cifar-10-batches-py/test_batch"]
    damaged = content[:place] + noise + content[place + len(noise) :]
    with contextlib.suppress(UsageError):
        read_cifar(changed(python_files(), "test_batch", damaged), "here")
