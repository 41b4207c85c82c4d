"""Sets made of folders: what is in them, in whose eyes, and what happens when it is interrupted."""

import json
import os

import numpy as np
import PIL.Image
import pytest

from dfm_flax.data import folder_import, tfds
from dfm_flax.data.folder_import import import_folder, write_shard
from dfm_flax.data.image_sets import load_image_set, num_bytes, open_image_source
from dfm_flax.errors import UsageError


class HerePool:
    """Shards are written by this process: what workers are is tested once, below."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, job):
        future = folder_import.concurrent.futures.Future()
        try:
            future.set_result(function(job))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, **_):
        pass


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(folder_import.concurrent.futures, "ProcessPoolExecutor", HerePool)
    monkeypatch.setattr(folder_import, "_IMAGES_IN_SHARD", 6)


@pytest.mark.parametrize("size", [0, 16])
def test_a_folder_of_classes(class_folder, tmp_path, here, size):
    """Against the folder itself, and against TFDS's own reader."""
    data_dir = str(tmp_path / "sets")
    folder = import_folder("faces", class_folder, data_dir, size=size)
    assert folder == tmp_path / "sets" / "faces" / "1.0.0"
    assert not list(folder.parent.glob("*incomplete*"))
    assert tfds.check_files("faces", data_dir) == 4 + 2
    for split, count in (("train", 20), ("test", 10)):
        expected = load_image_set(f"folder:{class_folder}", split, size=size)
        source = open_image_source("faces", split, data_dir)
        assert len(source) == count
        assert num_bytes("faces", split, data_dir) == source.num_bytes
        whole = load_image_set("faces", split, data_dir)
        np.testing.assert_array_equal(whole.images, expected.images)
        np.testing.assert_array_equal(whole.labels, expected.labels)
        assert whole.num_classes == source.num_classes == 10
        theirs = tfds.open_builder("faces", data_dir).as_data_source(split)
        np.testing.assert_array_equal([each["image"] for each in theirs], expected.images)
        np.testing.assert_array_equal([each["label"] for each in theirs], expected.labels)
    half = load_image_set("faces", "train", data_dir, part=(1, 2))
    expected = load_image_set(f"folder:{class_folder}", "train", size=size, part=(1, 2))
    np.testing.assert_array_equal(half.images, expected.images)
    (listed,) = tfds.list_sets(data_dir)
    assert listed["images"] == "test 10, train 20"
    with pytest.raises(UsageError, match="exists already; remove it to import faces again"):
        import_folder("faces", class_folder, data_dir)


def test_images_of_many_sizes_formats_and_kinds(tmp_path, here):
    """No classes, no splits, one of them gray, one of a format that TFDS cannot read."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for i in range(14):
        shape = (10 + i, 12, 3) if i else (10, 12)
        image = PIL.Image.fromarray(rng.integers(0, 256, shape, np.uint8))
        image.save(pictures / f"{i:02}.{'webp' if i == 3 else 'jpg' if i == 4 else 'png'}")
    folder = import_folder("mixed", pictures, str(tmp_path / "sets"))
    data_dir = str(tmp_path / "sets")
    note = json.loads((folder / tfds.NOTE_FILE).read_text())
    assert note["kind"] == "JPEG and PNG and WEBP images"
    assert note["lossy"]
    with pytest.raises(UsageError, match="give a size"):
        open_image_source("mixed", "all", data_dir)
    for split in ("train", "test"):
        expected = load_image_set(f"folder:{pictures}", split, size=8).images
        got = load_image_set("mixed", split, data_dir, size=8).images
        np.testing.assert_array_equal(got, expected)


def test_damaged_files_are_named_and_left_out_on_demand(class_folder, tmp_path, here, caplog):
    data_dir = str(tmp_path / "sets")
    for path in ("train/class c/0.png", "test/class a/0.png"):
        (class_folder / path).write_bytes((class_folder / path).read_bytes()[:60])
    with pytest.raises(UsageError, match=r"2 damaged images, all listed in .*class a/0.png"):
        import_folder("faces", class_folder, data_dir)
    assert not (tmp_path / "sets" / "faces" / "1.0.0").exists()
    listed = tmp_path / "sets" / "faces" / "1.0.0.incomplete" / "damaged.txt"
    assert len(listed.read_text().splitlines()) == 2
    import_folder("faces", class_folder, data_dir, skip_damaged=True)
    assert "left out 2 damaged images" in caplog.text
    assert len(open_image_source("faces", "train", data_dir)) == 19
    labels = load_image_set("faces", "train", data_dir).labels
    np.testing.assert_array_equal(np.bincount(labels), [2, 2, 1] + [2] * 7)


def test_an_interrupted_import_goes_on(class_folder, tmp_path, here, monkeypatch):
    data_dir, written = str(tmp_path / "sets"), []
    monkeypatch.setattr(folder_import, "write_shard", lambda job: _stop_at(4, written, job))
    with pytest.raises(KeyboardInterrupt):
        import_folder("faces", class_folder, data_dir)
    part = tmp_path / "sets" / "faces" / "1.0.0.incomplete"
    damaged = next(part.glob("*-00001-of-*[0-9]"))  # of the disk, meanwhile
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(folder_import, "write_shard", lambda job: _stop_at(99, written, job))
    import_folder("faces", class_folder, data_dir)
    # Six shards; three of the first run are whole.
    assert len(written) == 4 - 1 + 4
    expected = load_image_set(f"folder:{class_folder}").images
    got = [load_image_set("faces", split, data_dir).images for split in ("train", "test")]
    np.testing.assert_array_equal(np.sort(np.concatenate(got), 0), np.sort(expected, 0))


def test_an_import_of_other_files_writes_what_they_are_in(
    class_folder, tmp_path, here, monkeypatch
):
    data_dir, written = str(tmp_path / "sets"), []
    monkeypatch.setattr(folder_import, "write_shard", lambda job: _stop_at(4, written, job))
    with pytest.raises(KeyboardInterrupt):
        import_folder("faces", class_folder, data_dir)
    (class_folder / "train" / "class a" / "0.png").unlink()
    monkeypatch.setattr(folder_import, "write_shard", lambda job: _stop_at(99, written, job))
    import_folder("faces", class_folder, data_dir)
    assert len(written) == 3 + 4  # the test images, which are first, stay
    assert len(open_image_source("faces", "train", data_dir)) == 19


def _stop_at(last, written, job):
    if len(written) == last - 1:
        raise KeyboardInterrupt
    written.append(job.file)
    return write_shard(job)


def test_shards_that_are_missing_cut_or_damaged(class_folder, tmp_path, here):
    data_dir = str(tmp_path / "sets")
    folder = import_folder("faces", class_folder, data_dir)
    shard = sorted(folder.glob("*train*record-*"))[1]
    data = shard.read_bytes()
    fingerprint = open_image_source("faces", "train", data_dir).fingerprint()

    shard.write_bytes(data[:-100])
    with pytest.raises(UsageError, match=r"faces-train.*-00001-of-00004 is damaged \(it has"):
        open_image_source("faces", "train", data_dir)
    with pytest.raises(UsageError, match="00001-of-00004 is not as it was written"):
        tfds.check_files("faces", data_dir)

    broken = bytearray(data)
    places = [data.find(b"IHDR", at) for at in (0, data.find(b"IHDR") + 1)]
    broken[places[1] + 20] ^= 255
    shard.write_bytes(broken)
    source = open_image_source("faces", "train", data_dir)
    assert source.fingerprint() == fingerprint  # its records are not read
    with pytest.raises(UsageError, match=r"00001-of-00004 is damaged \(faces, record 7: .*hash"):
        source.images(np.arange(20))
    with pytest.raises(UsageError, match="00001-of-00004 is not as it was written"):
        tfds.check_files("faces", data_dir)

    shard.unlink()
    with pytest.raises(UsageError, match=r"is incomplete \(faces-train.*00001-of-00004 missing"):
        open_image_source("faces", "train", data_dir)


def test_names_and_sizes(class_folder, tmp_path):
    with pytest.raises(UsageError, match="lower case letters, digits and underscores"):
        import_folder("My Faces", class_folder, str(tmp_path))
    with pytest.raises(UsageError, match="--size -1 is no number of pixels"):
        import_folder("faces", class_folder, str(tmp_path), size=-1)
    with pytest.raises(UsageError, match="is none that `dfm data import` made"):
        tfds.check_files("mnist", str(tmp_path))


@pytest.mark.slow
def test_workers_of_the_command(dfm, class_folder, tmp_path):
    """Two processes, which are told how large images may be."""
    made = dfm(
        *("data", "import", "faces", class_folder, "--data-dir", tmp_path / "sets"),
        *("--workers", 2, "--max-pixels", 512, "--skip-damaged"),
    )
    assert made.returncode == 2
    assert "not one of its images can be read" in made.stderr
    made = dfm(
        "data", "import", "faces", class_folder, "--data-dir", tmp_path / "sets", "--workers", 2
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == str(tmp_path / "sets" / "faces" / "1.0.0")
    made = dfm("data", "check", "faces", "--data-dir", tmp_path / "sets", check=0)
    assert made.stdout == "faces: 2 files as written\n"
    assert os.listdir(tmp_path / "sets" / "faces") == ["1.0.0"]
