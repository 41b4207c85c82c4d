"""Tests of imports: what TFDS reads afterwards, and that failures leave nothing behind."""

import gzip
import os
import sys

import numpy as np
import PIL.Image
import pytest

from dfm_flax.data import importing
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.data.importing import import_image_set
from dfm_flax.data.originals import Originals
from dfm_flax.data.tfds import find_folder, list_sets, open_builder
from dfm_flax.errors import DfmError, UsageError
from tests import fork_server


@pytest.fixture
def data_dir(tmp_path):
    return str(tmp_path / "tfds")


def prepare_by_tfds(name, files, data_dir, monkeypatch):
    """Has TFDS's own code make a set, with a download manager that hands out our files."""
    builder = open_builder(name, data_dir)

    class Downloaded:
        downloaded_size = 0

        def download_and_extract(self, urls):
            return files

    monkeypatch.setattr(builder, "_make_download_manager", lambda **_: Downloaded())
    builder.download_and_prepare()


def same(ours, theirs):
    assert ours.num_classes == theirs.num_classes
    np.testing.assert_array_equal(ours.images, theirs.images)
    np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_idx_files_become_what_tfds_makes_of_a_download(
    idx_folder, digits, data_dir, tmp_path, monkeypatch, caplog
):
    """Images, labels and their order on the disk; TFDS's code reads the files in its own way."""
    folder = import_image_set("mnist", idx_folder, data_dir)
    assert "25 train and 10 test images, where mnist has 60000 and 10000" in caplog.text
    assert folder.is_relative_to(data_dir)
    files = {}
    for path in idx_folder.iterdir():
        content = path.read_bytes()
        unpacked = tmp_path / path.name.removesuffix(".gz")
        unpacked.write_bytes(gzip.decompress(content) if path.suffix == ".gz" else content)
        split = "train" if path.name.startswith("train") else "test"
        files[f"{split}_{'data' if 'images' in path.name else 'labels'}"] = str(unpacked)
    module = "tensorflow_datasets.image_classification.mnist"
    monkeypatch.setattr(f"{module}._TRAIN_EXAMPLES", 25)
    monkeypatch.setattr(f"{module}._TEST_EXAMPLES", 10)
    theirs = str(tmp_path / "theirs")
    prepare_by_tfds("mnist", files, theirs, monkeypatch)
    for split, count in (("all", 35), ("train", 25), ("test", 10), ("train[:7]", 7)):
        ours = load_image_set("mnist", split, data_dir)
        assert len(ours.images) == len(ours.labels) == count
        same(ours, load_image_set("mnist", split, theirs))
    images, labels = digits["test"]
    found = load_image_set("mnist", "test", data_dir)
    expected = sorted(zip(labels, [image.tobytes() for image in images], strict=True))
    pairs = zip(found.labels, [image.tobytes() for image in found.images], strict=True)
    assert sorted(pairs) == expected
    [entry] = list_sets(data_dir)
    assert (entry["name"], entry["images"]) == ("mnist", "train 25, test 10")
    assert entry["source"] == "IDX files"


def test_cifars_archive_becomes_what_tfds_makes_of_a_download(data_dir, tmp_path, monkeypatch):
    folder = tmp_path / "download" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        records = rng.integers(0, 256, (4, 3073), np.uint8)
        records[:, 0] = rng.integers(0, 10, 4)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_text("\n".join("zyxwvutsrq") + "\n")
    import_image_set("cifar10", folder, data_dir)
    theirs = str(tmp_path / "theirs")
    prepare_by_tfds("cifar10", str(folder.parent), theirs, monkeypatch)
    same(load_image_set("cifar10", data_dir=data_dir), load_image_set("cifar10", data_dir=theirs))
    ours, other = (open_builder("cifar10", where) for where in (data_dir, theirs))
    assert ours.info.features["label"].names == other.info.features["label"].names
    ids = [
        [example["id"] for example in builder.as_dataset("train").as_numpy_iterator()]
        for builder in (ours, other)
    ]
    assert ids[0] == ids[1]


def test_class_folders_are_labelled_by_the_alphabet(class_folder, data_dir):
    import_image_set("cifar10", class_folder, data_dir)
    loaded = load_image_set("cifar10", data_dir=data_dir)
    assert len(loaded.images) == 30
    np.testing.assert_array_equal(loaded.images[:, 0, 0, 0], loaded.labels + ord("a"))
    names = open_builder("cifar10", data_dir).info.features["label"].names
    assert names == [f"class {label}" for label in "abcdefghij"]


def test_class_folders_are_labelled_by_name_where_tfds_knows_the_names(tmp_path, data_dir):
    for split in ("train", "test"):
        for i, name in enumerate(("Bag", "Sandal", "Coat")):
            (tmp_path / "in" / split / name).mkdir(parents=True)
            image = PIL.Image.new("L", (28, 28), i)
            image.save(tmp_path / "in" / split / name / "1.png")
    import_image_set("fashion_mnist", tmp_path / "in", data_dir)
    loaded = load_image_set("fashion_mnist", "test", data_dir)
    found = dict(zip(loaded.images[:, 0, 0, 0].tolist(), loaded.labels.tolist(), strict=True))
    assert found == {0: 8, 1: 5, 2: 4}


def test_lossy_images_are_named_so_at_import_and_whenever_read(class_folder, data_dir, caplog):
    path = class_folder / "test" / "class a" / "0.png"
    PIL.Image.open(path).save(path.with_suffix(".jpg"))
    import_image_set("cifar10", class_folder, data_dir)
    assert "class folders of JPEG and PNG images, which lose detail" in caplog.text
    caplog.clear()
    load_image_set("cifar10", "test", data_dir)
    assert "cifar10 was imported from class folders of JPEG and PNG images" in caplog.text


def originals(images=None, labels=(0, 1), class_names=(), **facts):
    images = np.zeros((len(labels), 28, 28, 1), np.uint8) if images is None else images
    part = images, np.array(labels, np.int32)
    return Originals({"train": part, "test": part}, class_names, "things", **facts)


@pytest.mark.parametrize(
    ("name", "read", "message"),
    [
        ("mnist", originals(np.zeros((2, 8, 8, 1), np.uint8)), r"of 8 x 8 x 1, but mnist has.* 28"),
        ("mnist", originals(np.zeros((2, 28, 28, 3), np.uint8)), r"of 28 x 28 x 3, but mnist"),
        ("mnist", originals(labels=(0, 10)), "a train image of class 10, but mnist has 10 classes"),
        ("mnist", originals(labels=()), "no train images"),
        ("mnist", originals(class_names=("cat", "dog")), r"2 classes, with cat, dog, are not the"),
        ("fashion_mnist", originals(is_mnist=True), "these are the files of mnist, not of fashion"),
        ("celeb_a", originals(), "only sets of image and label can be imported"),
        ("mnits", originals(), "did you mean mnist"),
        ("imdb_reviews", originals(), "has no images of 8 bits"),
        ("emnist/nothing", originals(), "data set emnist: no emnist/nothing; there are "),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    name, read, message, data_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr(importing, "read_originals", lambda source: read)
    with pytest.raises(UsageError, match=message) as raised:
        import_image_set(name, tmp_path / "source", data_dir)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "tfds").exists()


def test_gray_images_serve_a_set_in_color(data_dir, tmp_path, monkeypatch):
    read = originals(np.full((2, 32, 32, 1), 9, np.uint8))
    monkeypatch.setattr(importing, "read_originals", lambda source: read)
    import_image_set("cifar10", tmp_path, data_dir)
    assert (load_image_set("cifar10", data_dir=data_dir).images == 9).all()


def test_other_files_of_the_right_number_get_a_warning(data_dir, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(importing, "read_originals", lambda source: originals())
    monkeypatch.setitem(importing._COUNTS, "mnist", (2, 2))
    import_image_set("mnist", tmp_path, data_dir)
    assert "not the original files of MNIST" in caplog.text


def test_a_set_that_exists_is_kept(idx_folder, data_dir):
    folder = import_image_set("mnist", idx_folder, data_dir)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(UsageError, match=r"exists already; remove it to import mnist again"):
        import_image_set("mnist", idx_folder, data_dir)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (KeyboardInterrupt, KeyboardInterrupt),
        (OSError(28, "full"), OSError),
        (ValueError, DfmError),
    ],
)
def test_failures_while_writing_leave_nothing(
    failure, raised, idx_folder, data_dir, tmp_path, monkeypatch
):
    whole = importing._examples

    def half(*args, **kwargs):
        for i, example in enumerate(whole(*args, **kwargs)):
            if i == 5:
                raise failure
            yield example

    monkeypatch.setattr(importing, "_examples", half)
    with pytest.raises(raised):
        import_image_set("mnist", idx_folder, data_dir)
    assert not (tmp_path / "tfds").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from dfm_flax.data import importing

whole = importing._examples

def half(split, *args, **kwargs):
    for i, example in enumerate(whole(split, *args, **kwargs)):
        if split == "test" and i == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        yield example

importing._examples = half
importing.import_image_set("mnist", Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_import_is_never_taken_for_a_set(idx_folder, data_dir, tmp_path):
    command = [sys.executable, "-c", KILLED, str(idx_folder), data_dir]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    process = fork_server.run(command, text=True, env=environment, timeout=120)
    assert process.returncode == -9, process.stderr
    assert list((tmp_path / "tfds").rglob("mnist-train*"))  # it had written half
    assert find_folder(open_builder("mnist", data_dir)) is None
    assert list_sets(data_dir) == []
    import_image_set("mnist", idx_folder, data_dir)
    assert len(load_image_set("mnist", data_dir=data_dir).images) == 35
