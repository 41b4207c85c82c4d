"""CIFAR-10's own files, in the Python and the binary version."""

import io
import pickle
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8

from dfm_flax.errors import UsageError

_SHAPE = (3, 32, 32)  # planes of red, green and blue
_BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}


def is_cifar(paths: Iterable[str]) -> bool:
    """Whether files of these paths look like CIFAR-10's."""
    return any(_base(path).startswith(("data_batch_", "test_batch")) for path in paths)


def read_cifar(
    files: Mapping[str, bytes], source: str
) -> tuple[
    dict[str, tuple[UInt8[np.ndarray, "_images 32 32 3"], Int32[np.ndarray, "_images"]]],
    tuple[str, ...],
]:
    """Images and labels of "train" and "test", and the class names.

    Args:
      files: contents by path, data_batch_1 .. data_batch_5, test_batch and batches.meta, or
        those of the binary version: data_batch_1.bin .. and batches.meta.txt.
      source: where they come from, for messages.

    Raises:
      UsageError: a file is missing, damaged or holds something else.
    """
    by_name = {_base(path): content for path, content in files.items()}
    binary = any(name.endswith(".bin") for name in by_name)
    suffix, read_batch = (".bin", _read_binary) if binary else ("", _read_pickled)
    meta = "batches.meta.txt" if binary else "batches.meta"
    wanted = [name + suffix for names in _BATCHES.values() for name in names]
    missing = [name for name in [*wanted, meta] if name not in by_name]
    if missing:
        raise UsageError(f"{source}: {', '.join(missing)} of CIFAR-10 missing")
    splits = {}
    for split, names in _BATCHES.items():
        batches = [read_batch(by_name[name + suffix], f"{source}: {name}") for name in names]
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        splits[split] = images, labels
    if binary:
        class_names = by_name[meta].decode("ascii", "replace").split()
    else:
        loaded = _unpickle(by_name[meta], f"{source}: {meta}").get(b"label_names")
        if not isinstance(loaded, list):
            raise UsageError(f"{source}: {meta} has no label_names")
        class_names = [_text(name) for name in loaded]
    return splits, tuple(class_names)


def _read_binary(
    content: bytes, what: str
) -> tuple[UInt8[np.ndarray, "images 32 32 3"], Int32[np.ndarray, "images"]]:
    """Records of a label's byte and the planes of an image."""
    size = 1 + int(np.prod(_SHAPE))
    if not content or len(content) % size:
        raise UsageError(f"{what}.bin: {len(content):,} bytes are no whole records of {size}")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return _interleaved(records[:, 1:]), records[:, 0].astype(np.int32)


def _read_pickled(
    content: bytes, what: str
) -> tuple[UInt8[np.ndarray, "images 32 32 3"], Int32[np.ndarray, "images"]]:
    """A pickled dictionary with rows of planes and a list of labels."""
    batch = _unpickle(content, what)
    planes, labels = batch.get(b"data"), batch.get(b"labels")
    if not (
        isinstance(planes, np.ndarray)
        and planes.dtype == np.uint8
        and planes.shape[1:] == (int(np.prod(_SHAPE)),)
        and isinstance(labels, list)
        and all(isinstance(label, int) and 0 <= label < 256 for label in labels)
    ):
        raise UsageError(f"{what}: no batch of CIFAR-10 with data and labels")
    if len(planes) != len(labels):
        raise UsageError(f"{what}: {len(planes)} images but {len(labels)} labels")
    return _interleaved(planes), np.array(labels, np.int32)


def _interleaved(
    planes: UInt8[np.ndarray, "images 3*32*32"],
) -> UInt8[np.ndarray, "images 32 32 3"]:
    return planes.reshape(-1, *_SHAPE).transpose(0, 2, 3, 1)


def _unpickle(content: bytes, what: str) -> dict[bytes, Any]:
    try:
        loaded = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # damaged pickles answer with nearly any exception
        raise UsageError(f"{what}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(loaded, dict):
        raise UsageError(f"{what}: no file of CIFAR-10")
    return {key if isinstance(key, bytes) else str(key).encode(): loaded[key] for key in loaded}


class _ArraysOnly(pickle.Unpickler):
    """Pickles of plain data and NumPy arrays: any other could run whatever its author wants."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a data set")
        if name == "_reconstruct":
            module = "numpy._core.multiarray"  # where NumPy keeps it now; the old name warns
        return super().find_class(module, name)


def _text(name: Any) -> str:
    return name.decode("ascii", "replace") if isinstance(name, bytes) else str(name)


def _base(path: str) -> str:
    return path.rpartition("/")[2]
