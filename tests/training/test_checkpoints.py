import json
import logging
import shutil

import numpy as np
import pytest

from dfm_flax.errors import DfmError, UsageError
from dfm_flax.training.checkpoints import Checkpoints, digest, restore_parts

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


@pytest.mark.parametrize("name", ["runs[1]", "a*b", "what?", "[x] *"])
def test_any_name_of_a_folder(tmp_path, name):
    """Orbax looks for files by patterns, which brackets and stars in a path are not."""
    saved(tmp_path / name / "c", 10, 20)
    assert digest(restored(tmp_path / name / "c")[0]) == digest(state(20))
    assert restore_parts(tmp_path / name / "c", {"w": np.zeros(2000, np.float32)})[0] == 20


def as_before(folder, whole):
    """A checkpoint as it was when nothing told of rows, and the last digest was of all bytes."""
    file = folder / "progress" / "metadata"
    progress = json.loads(file.read_text())
    del progress["rows"]
    file.write_text(json.dumps({**progress, "digest": digest(whole, progress["history"])}))


def test_those_of_before_are_read(tmp_path, caplog):
    saved(tmp_path / "c", 10, 20)
    for step in (10, 20):
        as_before(tmp_path / "c" / str(step), state(step))
    forge_curve(tmp_path / "c" / "20")
    found, history = restored(tmp_path / "c")
    assert "20 is damaged, going on from the one before (it does not match" in caplog.text
    assert digest(found) == digest(state(10))
    assert history == [(10, [0.5, 0.25])]


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


def forge_curve(folder):
    progress = next((folder / "progress").iterdir())
    progress.write_text(progress.read_text().replace("0.25", "0.26"))


def remove_progress(folder):
    shutil.rmtree(folder / "progress")


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGE = [flip_bytes, truncate, remove_state, forge_digest, forge_curve, remove_progress, empty]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_is_told_and_passed_over(tmp_path, caplog, damage):
    saved(tmp_path / "c", 10, 20)
    damage(tmp_path / "c" / "20")
    with caplog.at_level(logging.WARNING, "dfm_flax"):
        found, _ = restored(tmp_path / "c")
    assert digest(found) == digest(state(10))
    assert "checkpoint 20 is damaged, going on from the one before" in caplog.text
    saved(tmp_path / "c", 20)  # and the step can be saved again
    assert digest(restored(tmp_path / "c")[0]) == digest(state(20))


def test_all_damaged_is_an_error_that_loses_nothing(tmp_path, caplog):
    saved(tmp_path / "c", 10, 20)
    for step in ("10", "20"):
        truncate(tmp_path / "c" / step)
    with pytest.raises(DfmError, match=r"none of the checkpoints \[20, 10\] can be read"):
        restored(tmp_path / "c")
    assert "going on" not in caplog.text
    assert (tmp_path / "c" / "10").is_dir()
    assert (tmp_path / "c" / "20").is_dir()


@pytest.mark.parametrize(
    ("template", "difference"),
    [
        ({**STATE, "w": np.zeros(3, np.float32)}, r"w is \(2000,\) there, \(3,\) by the run's"),
        ({**STATE, "o": (np.ones((2, 2)), np.ones(1))}, r"o/1 is absent there, \(1,\) by"),
        ({name: STATE[name] for name in ("w", "step")}, r"o/0 is \(2, 2\) there, absent by"),
    ],
)
def test_another_model_is_told_in_our_words_and_nothing_is_lost(tmp_path, template, difference):
    saved(tmp_path / "c", 10, 20)
    before = files(tmp_path)
    checkpoints = Checkpoints(tmp_path / "c")
    with pytest.raises(UsageError, match=f"20: a checkpoint of another model: {difference}"):
        checkpoints.restore_newest(template)
    checkpoints.close()
    assert files(tmp_path) == before


def test_a_half_written_checkpoint_is_not_taken(tmp_path):
    saved(tmp_path / "c", 10)
    (tmp_path / "c" / "20.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    found, _ = restored(tmp_path / "c")
    assert digest(found) == digest(state(10))


def test_what_does_not_belong_there_does_not_matter(tmp_path):
    saved(tmp_path / "c", 10)
    (tmp_path / "c" / "notes.txt").write_text("")
    (tmp_path / "c" / "30").write_text("")
    (tmp_path / "c" / "best").mkdir()
    assert digest(restored(tmp_path / "c")[0]) == digest(state(10))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_reading_only_changes_nothing_under_a_run_that_trains(tmp_path):
    saved(tmp_path / "c", 10, 20)
    forge_digest(tmp_path / "c" / "20")
    (tmp_path / "c" / "30.orbax-checkpoint-tmp" / "state").mkdir(parents=True)  # under way
    before = files(tmp_path)
    checkpoints = Checkpoints(tmp_path / "c", read_only=True)
    found, _ = checkpoints.restore_newest(STATE)
    checkpoints.close()
    assert digest(found) == digest(state(10))
    assert files(tmp_path) == before


def test_nothing_is_made_before_it_is_needed(tmp_path):
    for read_only in (False, True):
        checkpoints = Checkpoints(tmp_path / "c", read_only=read_only)
        assert checkpoints.restore_newest(STATE) is None
        checkpoints.close()
    assert not (tmp_path / "c").exists()


def test_at_least_one_is_kept(tmp_path):
    with pytest.raises(UsageError, match="keep 1 or more"):
        Checkpoints(tmp_path / "c", 0)


@pytest.mark.parametrize("method", ["save", "wait_until_finished"])
def test_a_save_that_fails_is_one_line_and_keeps_the_one_before(tmp_path, monkeypatch, method):
    saved(tmp_path / "c", 10)
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.restore_newest(STATE)

    def fail(*args, **kwargs):
        raise OSError(28, "No space left\non device")

    def save_and_wait():
        checkpoints.save(20, state(20), [])
        checkpoints.wait()

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints._manager, method, fail)
        with pytest.raises(DfmError, match=r"No space left on device.* those before it are kept"):
            save_and_wait()
    checkpoints.close()
    assert (tmp_path / "c" / "10").is_dir()


def test_digest_sees_values_names_types_and_shapes():
    variants = [
        {"a": np.zeros(4, np.float32)},
        {"b": np.zeros(4, np.float32)},
        {"a": np.zeros(4, np.int32)},
        {"a": np.zeros((2, 2), np.float32)},
        {"a": np.array([0, 0, 0, 1], np.float32)},
    ]
    digests = {digest(variant) for variant in variants}
    digests.add(digest(variants[0], [(1, [0.5])]))
    assert len(digests) == len(variants) + 1
