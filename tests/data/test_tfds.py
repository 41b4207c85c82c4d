"""Tests of finding, downloading and reading TFDS's sets: damage, no internet, wrong names."""

import shutil

import numpy as np
import pytest
import requests

from dfm_flax.data import tfds
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.data.importing import import_image_set
from dfm_flax.errors import UsageError


@pytest.fixture
def data_dir(idx_folder, tmp_path):
    """With a small "mnist"."""
    import_image_set("mnist", idx_folder, str(tmp_path / "tfds"))
    return str(tmp_path / "tfds")


@pytest.fixture
def no_internet(monkeypatch):
    def refuse(url, **options):
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "head", refuse)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_tfds_reads_what_we_read(data_dir):
    import tensorflow_datasets as tfds

    theirs = tfds.load("mnist", data_dir=data_dir, split="test", batch_size=-1)
    ours = load_image_set("mnist", "test", data_dir)
    np.testing.assert_array_equal(ours.images, theirs["image"])
    np.testing.assert_array_equal(ours.labels, theirs["label"])


@pytest.mark.parametrize("split", ["all", "train[5:]+test[:50%]", "test"])
def test_parts_are_the_whole_cut_in_order(data_dir, split):
    whole = load_image_set("mnist", split, data_dir)
    for n in (2, 4):
        parts = [load_image_set("mnist", split, data_dir, part=(i, n)) for i in range(n)]
        np.testing.assert_array_equal(np.concatenate([p.images for p in parts]), whole.images)
        np.testing.assert_array_equal(np.concatenate([p.labels for p in parts]), whole.labels)
        sizes = [len(part.images) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_a_size_resizes_each_image(data_dir):
    whole = load_image_set("mnist", "test", data_dir).images
    half = load_image_set("mnist", "test", data_dir, size=14).images
    assert half.shape == (10, 14, 14, 1)
    means = [images.mean(axis=(1, 2, 3)) for images in (whole, half)]
    np.testing.assert_allclose(*means, atol=10)


def test_no_internet_is_told_at_once_with_the_way_out(tmp_path, no_internet):
    with pytest.raises(UsageError) as raised:
        load_image_set("mnist", data_dir=str(tmp_path))
    message = one_line(raised)
    assert f"data set mnist is not in {tmp_path}/mnist/" in message
    assert "there is no internet" in message
    assert message.endswith(f"dfm data import mnist SOURCE --data-dir {tmp_path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("emnist/leters", "data set emnist: no emnist/leters; there are letters, "),
        ("mnist/x", "data set mnist: no mnist/x; there are none"),
        ("mnist:9.9.9", "data set mnist:9.9.9: Dataset mnist cannot be loaded at version 9.9.9"),
        ("huggingface:mnist", "no data set 'huggingface:mnist'"),
        ("../mnist", "no data set '../mnist'; did you mean mnist?"),
        ("", "no data set ''"),
        ("speech_commands", "data set speech_commands: has no images"),
    ],
)
def test_names_that_are_no_set(name, message, tmp_path, capfd):
    with pytest.raises(UsageError) as raised:
        tfds.open_builder(name, str(tmp_path))
    assert one_line(raised).startswith(message)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_nobody_else_speaks_of_an_unknown_set(dfm):
    """JAX is there before TensorFlow, and asks for its warnings."""
    process = dfm("train", "--config=mnist", "--config.data.name=nonsuch", "--workdir=/x", check=2)
    assert len(process.stderr.splitlines()) == 1


def test_an_import_is_offered_only_for_what_can_be_imported(tmp_path, no_internet):
    """cifar100 has a second label, which no file that we read gives."""
    with pytest.raises(UsageError) as raised:
        load_image_set("cifar100", data_dir=str(tmp_path))
    assert one_line(raised).endswith("config.data.name=folder:PATH")
    assert "dfm data import" not in str(raised.value)
    with pytest.raises(UsageError, match="only sets of image and label can be imported"):
        import_image_set("cifar100", tmp_path, str(tmp_path))


def test_a_download_that_fails(tmp_path, monkeypatch, capsys):
    import tensorflow_datasets as tfds

    def fail(self, *args, **kwargs):
        print("TFDS speaks")
        raise OSError("checksum\nof the file is wrong")

    monkeypatch.setattr(requests, "head", lambda url, **options: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(UsageError) as raised:
        load_image_set("mnist", data_dir=str(tmp_path))
    assert "download failed: checksum of the file is wrong; import it from" in one_line(raised)
    assert capsys.readouterr().out == ""


def test_a_set_that_is_not_there_is_downloaded(tmp_path, data_dir, monkeypatch):
    """With TFDS's download replaced by a copy of a whole set."""
    import tensorflow_datasets as tfds

    def copy(self, *args, **kwargs):
        shutil.copytree(data_dir, tmp_path / "new", dirs_exist_ok=True)
        self.info.read_from_directory(self.data_dir)

    monkeypatch.setattr(requests, "head", lambda url, **options: None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", copy)
    assert len(load_image_set("mnist", data_dir=str(tmp_path / "new")).images) == 35


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json", "mnist-train.tfrecord*"])
def test_half_a_copy_is_noticed(data_dir, name, no_internet):
    folder = tfds.find_folder(tfds.open_builder("mnist", data_dir))
    [path] = folder.glob(name)
    path.unlink()
    with pytest.raises(UsageError) as raised:
        load_image_set("mnist", data_dir=data_dir)
    assert f"{folder} is incomplete" in one_line(raised)
    assert "remove it, then download or import the set again" in one_line(raised)


def cut_at_half(content):
    return content[: len(content) // 2]


def flip_a_byte(content):
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def drop_the_last_record(content):
    """Records are a length of 8 bytes, its checksum of 4, the data and its checksum of 4."""
    starts, place = [], 0
    while place < len(content):
        starts.append(place)
        place += 16 + int.from_bytes(content[place : place + 8], "little")
    return content[: starts[-1]]


@pytest.mark.parametrize(
    "damage", [cut_at_half, flip_a_byte, drop_the_last_record, lambda content: content * 2]
)
def test_damaged_files_are_noticed(data_dir, damage):
    folder = tfds.find_folder(tfds.open_builder("mnist", data_dir))
    [path] = folder.glob("mnist-train.tfrecord*")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError) as raised:
        load_image_set("mnist", data_dir=data_dir)
    assert f"{folder} is damaged" in one_line(raised)
    assert "__wrapped__" not in one_line(raised)  # TensorFlow's names of its own parts


@pytest.mark.parametrize("name", ["dataset_info.json", "dfm_import.json"])
@pytest.mark.parametrize("content", ["", "[]"])
def test_damaged_facts_are_noticed(data_dir, name, content, caplog):
    folder = tfds.find_folder(tfds.open_builder("mnist", data_dir))
    (folder / name).write_text(content)
    with pytest.raises(UsageError) as raised:
        load_image_set("mnist", data_dir=data_dir)
    assert one_line(raised).startswith(str(folder.parent))
    assert "is damaged" in one_line(raised)
    assert "remove it, then download or import the set again" in one_line(raised)
    assert tfds.list_sets(data_dir) == []
    assert f"{folder} is damaged" in caplog.text


@pytest.mark.parametrize("split", ["validation", "train[:", "", "all[:5]", "train+nothing"])
def test_unknown_splits(data_dir, split):
    with pytest.raises(UsageError) as raised:
        load_image_set("mnist", split, data_dir)
    assert f"no split {split!r}; it has all, test, train" in one_line(raised)


def test_more_than_fits_into_memory(data_dir, monkeypatch):
    free = type("Memory", (), {"available": 1000})
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    with pytest.raises(UsageError) as raised:
        load_image_set("mnist", data_dir=data_dir)
    assert "35 images, takes 27,440 bytes of memory and 1,000 are free" in one_line(raised)


def test_images_of_different_sizes_need_a_size():
    builder = tfds.open_builder("oxford_flowers102")
    with pytest.raises(UsageError) as raised:
        tfds._image_shape(builder, 0)
    assert "None x None pixels of 3 channels; give a size" in one_line(raised)
    assert tfds._image_shape(builder, 64) == (64, 64, 3)


def test_sets_without_labels_are_one_class(tmp_path):
    """A set of TFDS's own kind that has only images, of different sizes."""
    import tensorflow_datasets as tfds

    class OnlyImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"image": tfds.features.Image(shape=(None, None, 3))}
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from ((i, {"image": np.full((4 + i, 6, 3), i, np.uint8)}) for i in range(3))

    OnlyImages(data_dir=tmp_path).download_and_prepare()
    loaded = load_image_set("only_images", data_dir=str(tmp_path), size=4)
    assert sorted(loaded.images[:, 0, 0, 0]) == [0, 1, 2]
    assert loaded.images.shape == (3, 4, 4, 3)
    assert (loaded.num_classes, loaded.labels.tolist()) == (1, [0, 0, 0])
