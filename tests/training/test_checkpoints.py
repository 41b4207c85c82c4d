import json
import logging

import numpy as np
import pytest

from dfm_flax.errors import DfmError
from dfm_flax.training.checkpoints import Checkpoints, digest

STATE = {
    "w": np.arange(2000, dtype=np.float32),
    "step": np.asarray(3, np.int32),
    "o": (np.ones((2, 2)),),
}


def state(step):
    return {**STATE, "w": STATE["w"] * step, "step": np.asarray(step, np.int32)}


def saved(folder, *steps, keep=5):
    checkpoints = Checkpoints(folder, keep)
    for step in steps:
        checkpoints.save(step, state(step), [(step, [0.5, 0.25])])
    checkpoints.wait()
    checkpoints.close()


def restored(folder):
    checkpoints = Checkpoints(folder, 5)
    try:
        return checkpoints.restore_newest(STATE)
    finally:
        checkpoints.close()


def test_the_newest_is_restored_exactly(tmp_path):
    saved(tmp_path / "c", 10, 20)
    found, history = restored(tmp_path / "c")
    assert digest(found) == digest(state(20))
    assert history == [(20, [0.5, 0.25])]


def test_nothing_yet(tmp_path):
    assert restored(tmp_path / "c") is None


def test_only_the_newest_are_kept(tmp_path):
    saved(tmp_path / "c", 1, 2, 3, keep=2)
    assert sorted(path.name for path in (tmp_path / "c").iterdir() if path.name.isdigit()) == [
        "2",
        "3",
    ]


def test_what_the_caller_does_next_is_not_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c")
    for step in range(1, 21):
        history = [(step, [1.0])]
        checkpoints.save(step, state(step), history)
        history.append((step + 1, [2.0]))
    checkpoints.wait()
    checkpoints.close()
    assert restored(tmp_path / "c")[1] == [(20, [1.0])]


def flip_bytes(folder):
    """Flips bits in the stored array values, where no reader would notice by itself."""
    data = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(data.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
    data.write_bytes(content)


def truncate(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove_state(folder):
    for path in sorted((folder / "state").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def forge_digest(folder):
    progress = next((folder / "progress").iterdir())
    content = json.loads(progress.read_text())
    progress.write_text(json.dumps({**content, "digest": "0" * 64}))


@pytest.mark.parametrize("damage", [flip_bytes, truncate, remove_state, forge_digest])
def test_a_damaged_newest_is_told_and_passed_over(tmp_path, caplog, damage):
    saved(tmp_path / "c", 10, 20)
    damage(tmp_path / "c" / "20")
    with caplog.at_level(logging.WARNING, "dfm_flax"):
        found, _ = restored(tmp_path / "c")
    assert digest(found) == digest(state(10))
    assert "checkpoint 20 is damaged, going on from the one before" in caplog.text
    saved(tmp_path / "c", 20)  # and the step can be saved again
    assert digest(restored(tmp_path / "c")[0]) == digest(state(20))


def test_all_damaged_is_an_error_that_loses_nothing(tmp_path):
    saved(tmp_path / "c", 10, 20)
    for step in ("10", "20"):
        truncate(tmp_path / "c" / step)
    with pytest.raises(DfmError, match=r"none of the checkpoints \[20, 10\] can be read"):
        restored(tmp_path / "c")
    assert (tmp_path / "c" / "10").is_dir()
    assert (tmp_path / "c" / "20").is_dir()


def test_a_half_written_checkpoint_is_not_taken(tmp_path):
    saved(tmp_path / "c", 10)
    (tmp_path / "c" / "20.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    found, _ = restored(tmp_path / "c")
    assert digest(found) == digest(state(10))


def test_digest_sees_values_names_types_and_shapes():
    variants = [
        {"a": np.zeros(4, np.float32)},
        {"b": np.zeros(4, np.float32)},
        {"a": np.zeros(4, np.int32)},
        {"a": np.zeros((2, 2), np.float32)},
        {"a": np.array([0, 0, 0, 1], np.float32)},
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)
