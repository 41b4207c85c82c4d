"""Data sets as their local original files hold them: IDX files, CIFAR-10's, class folders."""

import hashlib
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from jaxtyping import Int32, UInt8

from dfm_flax.data.cifar import is_cifar, read_cifar
from dfm_flax.data.class_folders import SPLITS, Entry, arrange, decode_entries, list_folder
from dfm_flax.data.idx import read_idx
from dfm_flax.data.memory import check_fits
from dfm_flax.errors import UsageError, one_line

KINDS = (
    "MNIST-like IDX files (train-images-idx3-ubyte.gz and the three others), "
    "CIFAR-10's archive (Python or binary version), "
    "or images in {train,test}/CLASS/ as a folder or .tar.gz"
)


@dataclass(frozen=True, eq=False)
class Originals:
    """What was read from original files.

    Attributes:
      splits: images and labels of "train" and "test".
      class_names: by label; () where the files do not tell.
      kind: of the files, in words.
      is_lossy: whether images were stored in a format that loses, such as JPEG.
      is_mnist: whether these are the four files of MNIST, byte for byte when unpacked.
    """

    splits: dict[
        str,
        tuple[UInt8[np.ndarray, "_images _height _width _channels"], Int32[np.ndarray, "_images"]],
    ]
    class_names: tuple[str, ...]
    kind: str
    is_lossy: bool = False
    is_mnist: bool = False


def read_originals(source: Path) -> Originals:
    """Reads a data set from a folder or an archive of one of `KINDS`.

    Raises:
      UsageError: it is none of them, incomplete or damaged.
    """
    if source.is_dir():
        if any(_find_idx(source, stem) for stem in _IDX_STEMS.values()):
            return _read_idx_files(source)
        paths = list_folder(source)
        if is_cifar(paths):
            return _read_cifar({path: (source / path).read_bytes() for path in paths}, source)
        return _read_class_folders(paths, lambda path: (source / path).read_bytes(), source)
    files = _read_archive(source)
    if is_cifar(files):
        return _read_cifar(files, source)
    return _read_class_folders(list(files), files.__getitem__, source)


_IDX_STEMS = {
    ("train", "images"): "train-images",
    ("train", "labels"): "train-labels",
    ("test", "images"): "t10k-images",
    ("test", "labels"): "t10k-labels",
}

# SHA-256 of the pixels and labels that follow the headers of MNIST's four files.
_MNIST_DIGEST = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"


def _find_idx(folder: Path, stem: str) -> Path | None:
    axes = 3 if stem.endswith("images") else 1
    names = (f"{stem}{dot}idx{axes}-ubyte{suffix}" for dot in "-." for suffix in ("", ".gz"))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_idx_files(folder: Path) -> Originals:
    arrays = {}
    for (split, what), stem in _IDX_STEMS.items():
        path = _find_idx(folder, stem)
        if path is None:
            axes = 3 if what == "images" else 1
            raise UsageError(f"{folder}: {stem}-idx{axes}-ubyte (or .gz) is missing")
        arrays[split, what] = read_idx(path, 3 if what == "images" else 1)
    splits = {}
    for split in SPLITS:
        images, labels = arrays[split, "images"], arrays[split, "labels"]
        if len(images) != len(labels):
            raise UsageError(f"{folder}: {len(images):,} {split} images but {len(labels):,} labels")
        splits[split] = images[..., np.newaxis], labels.astype(np.int32)
    digest = hashlib.sha256()
    for array in arrays.values():
        digest.update(array.data)
    return Originals(splits, (), "IDX files", is_mnist=digest.hexdigest() == _MNIST_DIGEST)


def _read_cifar(files: dict[str, bytes], source: Path) -> Originals:
    splits, class_names = read_cifar(files, str(source))
    return Originals(splits, class_names, "files of CIFAR-10")


def _read_class_folders(paths: list[str], read: Callable[[str], bytes], source: Path) -> Originals:
    entries = arrange(paths, str(source))
    if {entry.split for entry in entries} != set(SPLITS) or not entries[0].class_name:
        raise UsageError(f"{source}: is none of {KINDS}")
    class_names = sorted({entry.class_name for entry in entries})
    index = {name: i for i, name in enumerate(class_names)}
    splits = {}
    for split in SPLITS:
        part = [entry for entry in entries if entry.split == split]
        labels = np.array([index[entry.class_name] for entry in part], np.int32)
        splits[split] = decode_entries(part, read, str(source)), labels
    formats = sorted({_format(entry) for entry in entries})
    return Originals(
        splits,
        tuple(class_names),
        f"class folders of {' and '.join(formats)} images",
        is_lossy=not _LOSSY.isdisjoint(formats),
    )


_LOSSY = frozenset({"JPEG", "JPEG2000", "WEBP", "AVIF", "MPO"})


def _format(entry: Entry) -> str:
    return PIL.Image.registered_extensions()[Path(entry.path).suffix.lower()]


def _read_archive(source: Path) -> dict[str, bytes]:
    """Contents by path, less the folder that all may lie in. Nothing is unpacked to the disk."""
    try:
        with tarfile.open(source) as archive:
            files: dict[str, bytes] = {}
            total = 0
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                total += member.size
                check_fits(total, f"{source}, unpacked,")
                files[member.name.removeprefix("./")] = content.read()
            _check_end(archive)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UsageError(
            f"{source}: cut off, damaged or no tar archive: {one_line(error)}"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror or error}") from error
    return _without_common_folder(files)


def _check_end(archive: tarfile.TarFile) -> None:
    """Raises an error for what tarfile lets pass: a cut between members or in the trailer."""
    file = archive.fileobj
    if file is None or file.tell() == archive.offset:  # it read no block that marks the end
        raise tarfile.ReadError("its end is missing")
    while file.read(2**20):  # to the checksum of the compression
        pass


def _without_common_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    roots = {path.split("/")[0] for path in files if "/" in path}
    if len(roots) != 1 or roots <= set(SPLITS) or any("/" not in path for path in files):
        return files
    return {path.partition("/")[2]: content for path, content in files.items()}
