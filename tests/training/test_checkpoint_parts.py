import contextlib
import shutil

import numpy as np
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.training import checkpoints
from dfm_flax.training.checkpoints import Checkpoints, restore_parts


def state(step):
    return {"w": step * np.arange(2000, dtype=np.float32), "o": (np.ones((2, 2)),)}


def saved(folder, *steps):
    with contextlib.closing(Checkpoints(folder, 5)) as made:
        for step in steps:
            made.save(step, state(step), [(step, [0.5, 0.25])])
        made.wait()


def test_parts_are_restored_without_the_rest(tmp_path):
    saved(tmp_path / "c", 10, 20)
    step, parts = restore_parts(tmp_path / "c", {"w": np.zeros(2000, np.float32)})
    assert step == 20
    assert parts.keys() == {"w"}
    np.testing.assert_array_equal(parts["w"], state(20)["w"])


def test_parts_of_another_model_are_refused(tmp_path):
    saved(tmp_path / "c", 10)
    with pytest.raises(UsageError, match=r"another model: w is \(2000,\) there, \(3,\) by"):
        restore_parts(tmp_path / "c", {"w": np.zeros(3, np.float32)})
    with pytest.raises(UsageError, match=r"another model: v is absent there"):
        restore_parts(tmp_path / "c", {"v": np.zeros(3, np.float32)})


def test_parts_of_a_damaged_checkpoint_are_refused_and_nothing_is_moved(tmp_path):
    saved(tmp_path / "c", 10, 20)
    for step, cure in ((20, "move it away to use step 10"), (10, "restore it from a backup")):
        for path in (tmp_path / "c" / str(step) / "state").rglob("*"):
            if path.is_file() and "manifest" not in path.name:
                path.write_bytes(path.read_bytes()[:-7])
        with pytest.raises(UsageError, match=rf"{step}: damaged .*; {cure}"):
            restore_parts(tmp_path / "c", {"w": np.zeros(2000, np.float32)})
        assert (tmp_path / "c" / str(step)).is_dir()
        shutil.rmtree(tmp_path / "c" / str(step))


def test_parts_with_other_bytes_are_refused(tmp_path):
    """The storage takes no notice: whole files of another state of the same shapes."""
    saved(tmp_path / "c", 10)
    saved(tmp_path / "other", 20)
    shutil.rmtree(tmp_path / "c" / "10" / "state")
    shutil.copytree(tmp_path / "other" / "20" / "state", tmp_path / "c" / "10" / "state")
    with pytest.raises(UsageError, match=r"damaged .*w does not match its digest"):
        restore_parts(tmp_path / "c", {"w": np.zeros(2000, np.float32)})
    _, parts = restore_parts(tmp_path / "c", {"o": (np.zeros((2, 2)),)})  # which is the same
    np.testing.assert_array_equal(parts["o"][0], np.ones((2, 2)))


def test_parts_with_flipped_bytes_are_refused(tmp_path):
    """In the middle of numbers that no compression makes smaller."""
    noise = np.random.default_rng(0).integers(0, 256, 40_000, np.uint8)
    checkpoints = Checkpoints(tmp_path / "c", 5)
    checkpoints.save(10, {"w": noise}, [])
    checkpoints.wait()
    checkpoints.close()
    files = [path for path in (tmp_path / "c" / "10" / "state").rglob("*") if path.is_file()]
    data = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(data.read_bytes())
    assert len(content) >= len(noise)
    middle = len(content) // 2
    content[middle] ^= 1
    data.write_bytes(content)
    with pytest.raises(UsageError, match="damaged"):
        restore_parts(tmp_path / "c", {"w": np.zeros(40_000, np.uint8)})


def test_parts_where_there_is_no_checkpoint(tmp_path):
    with pytest.raises(UsageError, match="no checkpoint yet"):
        restore_parts(tmp_path / "c", {})
    assert not (tmp_path / "c").exists()


def half_removed(folder):
    """A checkpoint while Orbax removes it, with some files gone and others not."""
    for path in sorted((folder / "state").rglob("*")):
        if path.is_file() and "manifest" not in path.name:
            path.unlink()


def only_state(found):
    return found["w"] if isinstance(found, dict) else found[0]["w"]


def parts(folder):
    return restore_parts(folder, {"w": np.zeros(2000, np.float32)})[1]


def newest(folder):
    with contextlib.closing(Checkpoints(folder, read_only=True)) as reader:
        return reader.restore_newest(state(0))


@pytest.mark.parametrize("read", [parts, newest])
def test_a_checkpoint_that_a_training_replaces_meanwhile_is_no_damage(
    tmp_path, monkeypatch, caplog, read
):
    """With keep_checkpoints=1 the only one vanishes as it is read, and a newer one is there."""
    folder, spare = tmp_path / "c", tmp_path / "spare"
    saved(folder, 10)
    saved(spare, 20)
    check = checkpoints.check_model

    def train_on(checkpoint, template, **options):
        if checkpoint.name == "10":
            half_removed(checkpoint)
        check(checkpoint, template, **options)

    def pause(seconds):
        if not (folder / "20").exists():
            (spare / "20").rename(folder / "20")
            shutil.rmtree(folder / "10")

    monkeypatch.setattr(checkpoints, "check_model", train_on)
    monkeypatch.setattr(checkpoints.time, "sleep", pause)
    np.testing.assert_array_equal(only_state(read(folder)), state(20)["w"])
    assert "damaged" not in caplog.text


def test_checkpoints_that_never_rest_are_told_of_as_what_they_are(tmp_path, monkeypatch):
    saved(tmp_path / "c", 10)
    half_removed(tmp_path / "c" / "10")

    def pause(seconds):
        file = tmp_path / "c" / "10" / "more"
        file.write_text(file.read_text() + "." if file.exists() else ".")

    monkeypatch.setattr(checkpoints.time, "sleep", pause)
    with pytest.raises(UsageError, match="replaced faster than they can be read"):
        parts(tmp_path / "c")
