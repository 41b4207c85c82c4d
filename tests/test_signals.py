import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import dfm_flax
from dfm_flax.signals import at_once, stop_requests

raise_signal = signal.raise_signal


def test_the_first_signal_is_the_request_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_requests() as requested:
        assert requested() is None
        raise_signal(signal.SIGTERM)
        assert requested() == signal.SIGTERM
        raise_signal(signal.SIGTERM)  # a second one does not disturb
        with pytest.raises(KeyboardInterrupt):  # but Ctrl-C acts as it did before
            raise_signal(signal.SIGINT)
        assert requested() == signal.SIGTERM
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_was_ignored_stays_ignored():
    """As in a script's background job, or under nohup."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_requests() as requested:
            raise_signal(signal.SIGINT)
            assert requested() is None
            raise_signal(signal.SIGTERM)
            raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_signals_are_somebody_elses():
    results = []

    def work():
        with stop_requests() as requested:
            results.append(requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert results == [None]


SIGNAL_WHILE_WRITING = """
import signal, sys
from dfm_flax.files import atomic_path, temporary_folder
from dfm_flax.signals import exit_on_signals

class Swallows:
    def __del__(self):  # exceptions in here are lost, like those in callbacks of JAX
        signal.raise_signal(int(sys.argv[2]))

exit_on_signals()
print("written so far")
with temporary_folder() as folder, atomic_path(sys.argv[1]) as path:
    path.write_text("half")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "1").write_text("half")
    Swallows()
print("survived")
"""


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_ends_a_process_wherever_it_is_and_leaves_nothing_half_written(
    tmp_path, number, said
):
    process = subprocess.run(  # fresh, as it is about an interpreter that hardly has begun
        [sys.executable, "-c", SIGNAL_WHILE_WRITING, str(tmp_path / "file"), str(int(number))],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.returncode == 128 + number
    assert process.stdout == "written so far\n"
    assert process.stderr == f"\ndfm: {said}\n"
    assert os.listdir(tmp_path) == []


def test_who_waits_in_c_is_killed_by_the_signal_itself():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with at_once():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_temporary_folders_are_made_in_one_way():
    """By `files.temporary_folder`, which no signal in the first seconds leaves behind."""
    for file in Path(dfm_flax.__path__[0]).rglob("*.py"):
        if file.name != "files.py":
            assert "mkdtemp" not in (text := file.read_text()), file
            assert "TemporaryDirectory" not in text, file
