import shutil

import numpy as np
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.training.checkpoints import Checkpoints, restore_parts


def state(step):
    return {"w": step * np.arange(2000, dtype=np.float32), "o": (np.ones((2, 2)),)}


def saved(folder, *steps):
    checkpoints = Checkpoints(folder, 5)
    for step in steps:
        checkpoints.save(step, state(step), [(step, [0.5, 0.25])])
    checkpoints.wait()
    checkpoints.close()


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
    saved(tmp_path / "c", 10)
    for path in (tmp_path / "c" / "10" / "state").rglob("*"):
        if path.is_file() and "manifest" not in path.name:
            path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UsageError, match=r"damaged .* remove it to use the one before"):
        restore_parts(tmp_path / "c", {"w": np.zeros(2000, np.float32)})
    assert (tmp_path / "c" / "10").is_dir()


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
