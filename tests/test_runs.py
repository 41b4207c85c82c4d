import errno
import json
import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.runs import Run


def test_the_config_is_kept_and_compared(tmp_path):
    run = Run(tmp_path / "a" / "run")
    assert not run.started
    with run.lock():
        run.create()
    run.write_config(ConfigDict({"learning_rate": 1e-3, "model": {"sizes": (1, 2)}}))
    assert run.started
    assert run.config().model.sizes == (1, 2)
    run.check_same(ConfigDict({"learning_rate": 1e-3, "model": {"sizes": (1, 2)}}))
    with pytest.raises(UsageError, match=r"model\.sizes: \(1, 2\) -> \(1, 3\)"):
        run.check_same(ConfigDict({"learning_rate": 1e-3, "model": {"sizes": (1, 3)}}))


def test_what_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="no run here"):
        Run(tmp_path).config()
    for damaged in ("{", "[1]", "{}", '{"run_version": 2}', '{"run_version": "2", "config": {}}'):
        (tmp_path / "config.json").write_text(damaged)
        with pytest.raises(UsageError, match=r"config\.json: cannot be read"):
            Run(tmp_path).config()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            '{"task": "compress", "seeds": [0]}',
            r"config\.json: of dfm_flax 0\.1 .* in another --workd",
        ),
        (
            '{"run_version": 3, "config": {}}',
            r"config\.json: of a newer dfm_flax \(version 3 of runs",
        ),
    ],
)
def test_a_run_of_another_version_is_refused(tmp_path, entries, message):
    (tmp_path / "config.json").write_text(entries)
    for use in (Run(tmp_path).config, lambda: Run(tmp_path).check_same(ConfigDict())):
        with pytest.raises(UsageError, match=message):
            use()


def test_the_folder_says_its_version(tmp_path):
    Run(tmp_path).write_config(ConfigDict({"sizes": (1, 2)}))
    entries = json.loads((tmp_path / "config.json").read_text())
    assert entries == {"run_version": 2, "config": {"sizes": [1, 2]}}


def test_checkpoints_without_their_config_are_not_gone_on_with(tmp_path):
    run = Run(tmp_path)
    run.create()
    run.checkpoints.mkdir()
    with pytest.raises(UsageError, match=r"checkpoints, but no config\.json"):
        run.create()


def hold_lock(folder):
    """A process that holds the lock of a run until its input ends."""
    code = f"from dfm_flax.runs import Run\nwith Run({str(folder)!r}).lock(): print(); input()"
    process = subprocess.Popen(  # fresh, as it imports little
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    return process


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    holder = hold_lock(tmp_path / "run")
    with (
        pytest.raises(UsageError, match="another process trains there"),
        Run(tmp_path / "run").lock(),
    ):
        pass
    assert Run(tmp_path / "run").busy()
    holder.kill()  # even a kill frees the lock
    holder.communicate()
    assert not Run(tmp_path / "run").busy()
    assert not Run(tmp_path / "new").busy()
    assert not (tmp_path / "new").exists()
    with Run(tmp_path / "run").lock():
        pass


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UsageError, match="cannot write there"), Run(folder).lock():
            pass


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with Run(tmp_path).lock():
        assert "no locks on this file system" in caplog.text


def test_no_run_starts_over_files_of_a_user(tmp_path):
    (tmp_path / "results.json").write_text("mine")
    for enter in (Run(tmp_path).check_place, Run(tmp_path).lock().__enter__):
        with pytest.raises(UsageError, match=r"no run is here, but results\.json"):
            enter()
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_run_that_was_killed_while_it_started_starts_again(tmp_path):
    """What it had written until then is its own."""
    with Run(tmp_path / "run").lock():
        Run(tmp_path / "run").write_json("data.json", {})
    Run(tmp_path / "run").check_place()


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(Run("~/runs/a").folder) == "/home/somebody/runs/a"
