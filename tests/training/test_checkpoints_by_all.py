"""Checkpoints of a table that is shared out, by several processes: real ones, on this host."""

import contextlib
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from dfm_flax import cluster
from dfm_flax.errors import GO_ON, DfmError, UsageError
from dfm_flax.training.checkpoints import Checkpoints, named_leaves, restore_parts
from dfm_flax.training.placement import Replicated, ShardedTable
from dfm_flax.training.rows import Rows
from tests import fork_server
from tests.test_cluster import environment, free_port
from tests.training.test_checkpoints import as_before
from tests.training.test_placement import LATENT, NUM, assert_close, initial, stepped, trained

HERE = [sys.executable, "-m", "tests.training.test_checkpoints_by_all"]


def main(port, num, place, what, folder):
    """What one of the processes does; process 0 writes down what all have together."""
    folder, num, place = Path(folder), int(num), int(place)
    logging.basicConfig(format="%(message)s")
    if what == "die":
        cluster.HEARTBEAT_SECONDS = 10  # the other one waits for it
    here = cluster.joined(f"localhost:{port}", num, place) if num > 1 else contextlib.nullcontext()
    try:
        with here:
            checkpoints = Checkpoints(
                folder / (str(place) if what == "apart" else "c"), by_all=True
            )
            with contextlib.closing(checkpoints):
                {"save": save, "die": die}.get(what, restore)(folder, checkpoints)
    except DfmError as error:
        print(f"dfm: {error}")
        sys.exit(error.exit_code)


def save(folder, checkpoints):
    placement = ShardedTable(NUM)
    assert checkpoints.restore_newest(placement.part(initial())) is None
    state = placement.put(placement.part(initial()))
    for step in (10, 20):
        state = stepped(placement, state, 10)
        part = placement.get(state)
        checkpoints.save(step, part, [(step, [0.5])])
        write(folder / f"{step}.npz", placement.whole(part))
    checkpoints.wait()


def die(folder, checkpoints):
    """Process 1 does, in the middle of the second time that it saves."""
    array = Rows.array

    def killed(rows):
        if (
            rows.shape == (NUM, LATENT)
            and (folder / "c" / "10").exists()
            and cluster.place()[0] == 1
        ):
            signal.raise_signal(signal.SIGKILL)
        return array(rows)

    placement = ShardedTable(NUM)
    part = placement.part(initial())
    checkpoints.save(10, part, [])
    checkpoints.wait()
    cluster.meet()
    Rows.array = killed
    checkpoints.save(20, part, [])
    checkpoints.wait()


def restore(folder, checkpoints):
    placement = ShardedTable(NUM)
    template = placement.part(jax.tree.map(np.zeros_like, initial()))
    state, history = checkpoints.restore_newest(template)
    assert history == [(int(state.step), [0.5])]
    write(folder / "restored.npz", placement.whole(placement.get(placement.put(state))))


def write(file, whole):
    if cluster.is_writer():
        np.savez(file, **named_leaves(whole))


if __name__ == "__main__":
    main(*sys.argv[1:])

pytestmark = pytest.mark.slow


def start(what, folder, processes, devices):
    port = free_port()
    return [
        fork_server.Popen(
            [*HERE, port, processes, i, what, folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(devices),
        )
        for i in range(processes)
    ]


def run(what, folder, processes=2, devices=2, codes=(0,)):
    """What the processes say, which have ended with one of some codes each."""
    started = start(what, folder, processes, devices)
    said = [process.communicate(timeout=300)[0] for process in started]
    assert {process.returncode for process in started} <= set(codes), said
    return said


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    """Saved by two processes of two devices each."""
    folder = tmp_path_factory.mktemp("by_two")
    run("save", folder)
    return folder


@pytest.fixture
def copied(by_two, tmp_path):
    shutil.copytree(by_two, tmp_path / "copied")
    return tmp_path / "copied"


def saved(folder, step):
    return dict(np.load(folder / f"{step}.npz"))


def assert_restored(folder, step):
    jax.tree.map(
        np.testing.assert_array_equal, dict(np.load(folder / "restored.npz")), saved(folder, step)
    )


def test_what_two_processes_trained_is_what_one_does(by_two):
    """Rows that come from the devices of the other process, and go back there."""
    expected = named_leaves(trained(Replicated(), initial(), 20, False))
    assert_close(saved(by_two, 20), {name: np.asarray(leaf) for name, leaf in expected.items()})


def test_each_process_has_written_its_part(by_two):
    """Of the rows; what each has whole, one of them writes."""
    sizes = [
        sum(file.stat().st_size for file in (by_two / "c" / "20" / "state" / part).rglob("*"))
        for part in ("ocdbt.process_0", "ocdbt.process_1")
    ]
    assert min(sizes) > 3 * (NUM - 64) * LATENT * 4  # latents and moments
    assert max(sizes) < 3 * min(sizes)  # the first has more of the rows


@pytest.mark.parametrize(("processes", "devices"), [(2, 2), (1, 4), (1, 3), (3, 1)])
def test_other_processes_and_devices_go_on_with_the_same_rows(copied, processes, devices):
    run("restore", copied, processes, devices)
    assert_restored(copied, 20)


def test_those_who_have_all_rows_read_them_too(by_two):
    """A run with a copy on each device, and readers of some fields."""
    with contextlib.closing(Checkpoints(by_two / "c", read_only=True)) as checkpoints:
        state, _ = checkpoints.restore_newest(initial())
    expected = saved(by_two, 20)
    jax.tree.map(np.testing.assert_array_equal, named_leaves(state), expected)
    template = {"table": {"latents": np.zeros((NUM, LATENT), np.float32)}}
    _, parts = restore_parts(by_two / "c", template)
    np.testing.assert_array_equal(parts["table"]["latents"], expected["table/latents"])
    for num in (NUM - 1, NUM + 1, 128):  # which is what is stored
        template = {"table": {"latents": np.zeros((num, LATENT), np.float32)}}
        with pytest.raises(UsageError, match=rf"latents is \({NUM}, {LATENT}\) there, \({num}, "):
            restore_parts(by_two / "c", template)


@pytest.mark.parametrize("version", ["old", "new"])
def test_what_one_process_has_written_whole_is_shared_out(tmp_path, version):
    """Also one from before checkpoints told of rows, whose last digest is of all bytes."""
    whole = trained(Replicated(), initial(), 20, False)
    with contextlib.closing(Checkpoints(tmp_path / "c")) as checkpoints:
        checkpoints.save(20, whole, [(20, [0.5])])
        checkpoints.wait()
    if version == "old":
        as_before(tmp_path / "c" / "20", whole)
    np.savez(tmp_path / "20.npz", **named_leaves(whole))
    run("restore", tmp_path)
    assert_restored(tmp_path, 20)


def flip_bytes(files):
    largest = max(files, key=lambda file: file.stat().st_size)
    content = bytearray(largest.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(byte ^ 0xFF for byte in content[middle : middle + 8])
    largest.write_bytes(content)


def cut(files):
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def remove(files):
    for file in files:
        file.unlink()


@pytest.mark.parametrize(
    ("process", "damage"), [(0, flip_bytes), (1, flip_bytes), (1, cut), (0, remove)]
)
def test_a_damaged_part_is_told_once_and_all_go_on_from_the_one_before(copied, process, damage):
    """Though it may be that just one of them has to do with it."""
    part = copied / "c" / "20" / "state" / f"ocdbt.process_{process}" / "d"
    damage(list(part.iterdir()))
    said = run("restore", copied)
    assert_restored(copied, 10)
    lines = [line for line in "".join(said).splitlines() if "is damaged" in line]
    assert len(lines) == 1
    assert "checkpoint 20 is damaged, going on from the one before (" in lines[0]
    assert (copied / "damaged_checkpoint_20").is_dir()


def test_rows_of_another_checkpoint_are_noticed(copied):
    """The storage takes no notice: whole files of another state of the same shapes."""
    shutil.rmtree(copied / "c" / "20" / "state")
    shutil.copytree(copied / "c" / "10" / "state", copied / "c" / "20" / "state")
    said, _ = run("restore", copied)
    assert "20 is damaged, going on from the one before (step does not match its digest)" in said
    assert_restored(copied, 10)


def test_a_process_that_dies_as_it_saves_leaves_the_checkpoint_before(tmp_path):
    started = start("die", tmp_path, 2, 2)
    said = [process.communicate(timeout=300)[0] for process in started]
    assert started[1].returncode == -signal.SIGKILL
    assert started[0].returncode in (GO_ON, -signal.SIGABRT), said
    assert not (tmp_path / "c" / "20").exists()
    with contextlib.closing(Checkpoints(tmp_path / "c")) as checkpoints:
        state, _ = checkpoints.restore_newest(initial())
    jax.tree.map(np.testing.assert_array_equal, state, initial())


def test_a_folder_that_the_processes_do_not_share_is_refused(tmp_path):
    said = run("apart", tmp_path, codes=(UsageError.exit_code,))
    for text in said:
        lines = [line for line in text.splitlines() if line.startswith("dfm: ")]
        assert len(lines) == 1
        assert "not the same folder for all processes" in lines[0]
        assert "use a --workdir that all hosts share" in lines[0]
