"""Tests of telling apart and reading the kinds of original files."""

import gzip
import io
import tarfile
import zipfile

import numpy as np
import PIL.Image
import pytest

from dfm_flax.data import originals
from dfm_flax.data.originals import read_originals
from dfm_flax.errors import UsageError


def pack(folder, target, mode="w:gz", prefix=""):
    with tarfile.open(target, mode) as archive:
        archive.add(folder, prefix or ".")
    return target


def same(read, digits):
    for split, (images, labels) in digits.items():
        np.testing.assert_array_equal(read.splits[split][0], images[..., np.newaxis])
        np.testing.assert_array_equal(read.splits[split][1], labels)
        assert read.splits[split][1].dtype == np.int32


def test_idx_files(idx_folder, digits):
    read = read_originals(idx_folder)
    same(read, digits)
    assert (read.kind, read.class_names, read.is_lossy, read.is_mnist) == (
        *("IDX files", ()),
        *(False, False),
    )


def test_idx_files_under_their_other_names(idx_folder, digits):
    for path in list(idx_folder.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    same(read_originals(idx_folder), digits)


def test_mnist_is_known(idx_folder, monkeypatch):
    """By its content, however it is packed; the digest itself was taken from the real files."""
    content = b""
    for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        [path] = idx_folder.glob(f"{name}*")
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        content += data[16 if "images" in name else 8 :]
    digest = __import__("hashlib").sha256(content).hexdigest()
    monkeypatch.setattr(originals, "_MNIST_DIGEST", digest)
    assert read_originals(idx_folder).is_mnist


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"])
def test_a_missing_idx_file(idx_folder, name):
    (idx_folder / name).unlink()
    with pytest.raises(UsageError, match=f"{name[:-3]} .*missing"):
        read_originals(idx_folder)


def test_counts_that_differ(idx_folder):
    content = gzip.decompress((idx_folder / "train-labels-idx1-ubyte.gz").read_bytes())
    (idx_folder / "t10k-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(UsageError, match="10 test images but 25 labels"):
        read_originals(idx_folder)


def test_class_folders_and_their_archives(class_folder, tmp_path):
    sources = [
        class_folder,
        pack(class_folder, tmp_path / "a.tar.gz"),
        pack(class_folder, tmp_path / "b.tgz", prefix="some/name"),
        pack(class_folder, tmp_path / "c.tar", "w"),
    ]
    for source in sources[:2] + sources[3:]:
        read = read_originals(source)
        assert read.class_names == tuple(f"class {label}" for label in "abcdefghij")
        assert (read.kind, read.is_lossy) == ("class folders of PNG images", False)
        for split, per_class in (("train", 2), ("test", 1)):
            images, labels = read.splits[split]
            np.testing.assert_array_equal(labels, np.repeat(np.arange(10), per_class))
            np.testing.assert_array_equal(images[:, 0, 0, 0], labels + ord("a"))
            [first] = class_folder.glob(f"{split}/class a/0.png")
            np.testing.assert_array_equal(images[0], np.asarray(PIL.Image.open(first)))
    with pytest.raises(UsageError, match="lies too deep"):
        read_originals(sources[2])


def test_one_folder_around_all_is_seen_through(class_folder, tmp_path):
    read = read_originals(pack(class_folder, tmp_path / "a.tar.gz", prefix="cifar10"))
    assert len(read.splits["train"][1]) == 20


def test_jpeg_is_lossy(class_folder):
    path = class_folder / "test" / "class a" / "0.png"
    PIL.Image.open(path).save(path.with_suffix(".jpg"))
    read = read_originals(class_folder)
    assert (read.kind, read.is_lossy) == ("class folders of JPEG and PNG images", True)


def test_cifar_archives(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    record = bytes([7]) + bytes(range(256)) * 12
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        (folder / f"{name}.bin").write_bytes(record * 2)
    (folder / "batches.meta.txt").write_text("\n".join("abcdefghij"))
    archive = pack(folder, tmp_path / "cifar.tar.gz", prefix=folder.name)
    for source in (archive, folder):
        read = read_originals(source)
        assert read.splits["train"][0].shape == (10, 32, 32, 3)
        assert read.splits["test"][1].tolist() == [7, 7]
        assert read.class_names == tuple("abcdefghij")


@pytest.mark.parametrize("cut", [1, 100, 1000, 3000])
def test_archives_that_are_cut_off(class_folder, tmp_path, cut):
    archive = pack(class_folder, tmp_path / "a.tar.gz")
    archive.write_bytes(archive.read_bytes()[:-cut])
    with pytest.raises(UsageError) as raised:
        read_originals(archive)
    assert "cut off, damaged or no tar archive" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_archive_that_is_cut_off_between_members(class_folder, tmp_path):
    path = pack(class_folder, tmp_path / "a.tar", "w")
    with tarfile.open(path) as archive:
        starts = [member.offset for member in archive if member.isfile()]
    path.write_bytes(path.read_bytes()[: starts[-1]])
    with pytest.raises(UsageError, match="its end is missing"):
        read_originals(path)


def test_other_sources(tmp_path, class_folder):
    (tmp_path / "text").write_text("text")
    with pytest.raises(UsageError, match="cut off, damaged or no tar archive"):
        read_originals(tmp_path / "text")
    with pytest.raises(UsageError, match="No such file"):
        read_originals(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no images there"):
        read_originals(tmp_path / "empty")
    with pytest.raises(
        UsageError, match=r"is none of MNIST-like IDX files .* as a folder or .tar.gz"
    ):
        read_originals(class_folder / "train")


def test_nothing_is_unpacked_to_the_disk(tmp_path):
    """Members that point outside are names like any other."""
    picture = io.BytesIO()
    PIL.Image.fromarray(np.zeros((2, 2), np.uint8)).save(picture, "PNG")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("../../evil.png", "/tmp/evil.png"):
            member = tarfile.TarInfo(name)
            member.size = len(picture.getvalue())
            archive.addfile(member, io.BytesIO(picture.getvalue()))
    with pytest.raises(UsageError):
        read_originals(tmp_path / "a.tar")
    assert not (tmp_path.parent.parent / "evil.png").exists()


def test_an_archive_larger_than_memory(class_folder, tmp_path, monkeypatch):
    archive = pack(class_folder, tmp_path / "a.tar.gz")
    free = type("Memory", (), {"available": 10_000})
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    with pytest.raises(UsageError, match=r"a.tar.gz, unpacked, takes .* and 10,000 are free"):
        read_originals(archive)


def test_another_archive_is_one_line(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("train/a/1.png", b"")
    with pytest.raises(UsageError, match=r"x\.zip: cut off, damaged or no tar archive") as error:
        read_originals(tmp_path / "x.zip")
    assert "\n" not in str(error.value)
