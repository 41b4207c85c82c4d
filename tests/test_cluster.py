"""Processes that train together: real ones, on this host, with gloo."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from dfm_flax import cluster
from dfm_flax.errors import GO_ON, DfmError, UsageError
from tests import fork_server
from tests.test_devices import curves


def test_a_process_on_its_own_is_the_writer():
    tree = {"a": np.arange(3.0)}
    with cluster.joined(None):
        assert cluster.is_writer()
        assert cluster.num_processes() == 1
        assert cluster.largest(7) == 7
        assert [cluster.first_of(text) for text in ("why", "")] == ["why", ""]
        assert cluster.from_writer(tree) is tree
        cluster.meet()
        assert cluster.place() == (0, 1)
        assert cluster.joined_rows(tree["a"]) is tree["a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, 2, 0), "need --coordinator"),
        (("host", 2, 0), "is not HOST:PORT, nor auto"),
        (("host:x", 2, 0), "is not HOST:PORT, nor auto"),
        (("host:1", None, 0), "needs --num-processes N"),
        (("host:1", 2, None), "needs --num-processes N"),
        (("host:1", 2, 2), "needs --num-processes N"),
        (("auto", 2, None), "auto takes no"),
    ],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(UsageError, match=message), cluster.joined(*arguments):
        pass


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (ValueError("coordinator_address"), UsageError, "no Slurm, Open MPI, Kubernetes or TPU"),
        (RuntimeError("deadline"), DfmError, "cannot join the other processes: deadline"),
    ],
)
def test_no_cluster_and_one_that_cannot_be_reached(monkeypatch, raised, expected, message):
    def fail(*arguments, **options):
        # It waits in C for the others, where no handler of Python's would be called.
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        raise raised

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(expected, match=message), cluster.joined("auto"):
        pass


@pytest.mark.parametrize(
    ("raised", "expected", "code"),
    [
        (RuntimeError("Gloo all-reduce failed: Connection closed by peer"), cluster.Lost, GO_ON),
        (ValueError("Barrier timed out"), cluster.Lost, GO_ON),
        (DfmError("training diverged, says gloo"), DfmError, 1),
        (ZeroDivisionError("of our own"), ZeroDivisionError, 1),
    ],
)
def test_an_error_ends_the_process_without_waiting_for_others(monkeypatch, raised, expected, code):
    registered = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *arguments, **options: None)
    monkeypatch.setattr(cluster.atexit, "register", lambda *call: registered.append(call))
    with pytest.raises(expected) as caught, cluster.joined("auto"):
        raise raised
    assert (caught.type is cluster.Lost) == (expected is cluster.Lost)
    assert registered == [(os._exit, code)]


WORKER = """
import sys
import jax
import numpy as np
from dfm_flax import cluster
from dfm_flax.errors import DfmError

port, me = sys.argv[1], int(sys.argv[2])
cluster.HEARTBEAT_SECONDS = int(sys.argv[3])
try:
    with cluster.joined(f"localhost:{port}", 2, me):
        assert cluster.is_writer() == (me == 0)
        assert cluster.num_processes() == 2
        assert cluster.largest(10 * me + 3) == 13
        assert cluster.first_of("") == ""
        assert cluster.first_of("ça" if me else "") == "ça"
        assert cluster.first_of(f"process {me}") == "process 0"
        tree = {
            "float": np.array([-0.0, np.nan, -np.inf, 1e-45], np.float32),
            "whole": np.array([2**32 - 1, 0], np.uint32),
            "step": np.asarray(7, np.int32),
            "none": None,
        }
        bits = {name: leaf.tobytes() for name, leaf in tree.items() if leaf is not None}
        if me:
            tree = jax.tree.map(np.ones_like, tree)
        received = cluster.from_writer(tree)
        assert received["none"] is None
        assert received["step"].shape == ()
        assert {name: received[name].tobytes() for name in bits} == bits
        rows = np.arange(10, dtype=np.uint8).reshape(5, 2)
        part = rows[:2] if me == 0 else rows[2:]  # of unequal length
        np.testing.assert_array_equal(cluster.joined_rows(part), rows)
        print("equal", flush=True)
        if me:
            sys.stdin.read()  # until it is killed
        cluster.largest(0)
except DfmError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def environment(devices):
    return os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
    }


@pytest.mark.slow
def test_what_is_agreed_on_is_equal_bit_for_bit_and_a_death_is_noticed():
    port, heartbeat = free_port(), 10  # less than a user's, as one may have to wait for it
    first, second = processes = [
        fork_server.Popen(
            [sys.executable, "-c", WORKER, port, i, heartbeat],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(1),
        )
        for i in range(2)
    ]
    for process in processes:
        while (line := process.stdout.readline()) and "equal" not in line:
            pass
        assert "equal" in line
    second.kill()
    output, _ = first.communicate(timeout=heartbeat + 60)  # and some for a busy machine
    # By a closed connection with our words, or by the heartbeat, when JAX aborts with its own.
    assert first.returncode in (GO_ON, -signal.SIGABRT)
    if first.returncode == GO_ON:
        assert "another process of the run is gone" in output
    second.communicate()


MEET = """
import sys
from dfm_flax import cluster

with cluster.joined(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2])):
    print("largest", cluster.largest(3 + int(sys.argv[2])), flush=True)
"""
WITHOUT_A_NAME = ["unshare", "--uts", "sh", "-c", 'hostname nobody-knows && exec "$@"', "sh"]


def can_lose_its_name():
    try:
        return subprocess.run([*WITHOUT_A_NAME, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("case", ["proxy", "name"])
def test_processes_of_a_host_find_each_other(case):
    """Where a proxy is set, which knows nobody here, and where the host does not know its name."""
    if case == "name" and not can_lose_its_name():
        pytest.skip("this takes a namespace of one's own, of util-linux")
    port = str(free_port())
    dead = f"http://localhost:{free_port()}"
    proxies = dict.fromkeys(("http_proxy", "https_proxy"), dead if case == "proxy" else "")
    processes = [  # fresh, in a namespace of their own; and with hashes of strings of their own
        subprocess.Popen(
            [*(WITHOUT_A_NAME if case == "name" else []), sys.executable, "-c", MEET, port, str(i)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(1) | proxies | {"no_proxy": ""},
        )
        for i in range(2)
    ]
    try:
        for process in processes:
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0
            assert "largest 4" in output
    finally:
        for process in processes:
            process.kill()


IN_KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(("environment", "seconds"), [({}, 5), (IN_KUBERNETES, 60)])
def test_names_that_lead_nowhere_are_told(monkeypatch, environment, seconds):
    known = {"localhost": "127.0.0.1", "far": "192.0.2.1"}

    def look_up(host, port):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(None, None, None, "", (known[host], 0))]

    tries = []
    monkeypatch.delenv(*IN_KUBERNETES, raising=False)
    for variable in environment.items():
        monkeypatch.setenv(*variable)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "gethostname", lambda: "myself")
    monkeypatch.setattr(cluster.time, "sleep", tries.append)
    with pytest.raises(UsageError, match="nosuch:1: the name nosuch does not resolve"):
        cluster._check_names("nosuch:1", "nosuch")
    assert sum(tries) == seconds  # there a cluster may be starting
    with pytest.raises(DfmError, match="own name, myself, does not resolve"):
        cluster._check_names("far:1", "far")


def start(arguments, workdir, processes, devices):
    port = free_port()
    return [
        fork_server.Popen(
            [
                *(sys.executable, "-m", "dfm_flax", "train", *arguments, f"--workdir={workdir}"),
                *(f"--coordinator=localhost:{port}", f"--num-processes={processes}"),
                f"--process-id={i}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(devices),
        )
        for i in range(processes)
    ]


def wait_for_a_checkpoint(processes, workdir):
    while not any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*")):
        assert processes[0].poll() is None, processes[0].communicate()
        time.sleep(0.01)


def steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*"))


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["replicated", "sharded"])
def test_two_processes_stop_at_one_step_and_another_topology_goes_on(
    dfm, small_arguments, tmp_path, placement
):
    """Latents in a table: its rows are gathered from all devices of all processes."""
    arguments = (
        "--config=digits:table",
        *small_arguments,
        f"--config.training.table_placement={placement}",
        "--config.training.num_steps=600",
        "--config.observe_every=600",
        "--config.training.checkpoint_every=100",
    )
    processes = start(arguments, tmp_path / "run", processes=2, devices=2)
    wait_for_a_checkpoint(processes, tmp_path / "run")
    processes[1].send_signal(signal.SIGTERM)
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [GO_ON, GO_ON], outputs
    steps = {output.split("stopped by SIGTERM at step ")[1].split(",")[0] for output in outputs}
    assert len(steps) == 1
    assert 100 <= int(steps.pop()) < 600
    assert "steps_per_second" in outputs[0]
    assert "steps_per_second" not in outputs[1]  # one tells

    resumed = dfm("train", *arguments, f"--workdir={tmp_path / 'run'}", devices=4, check=0)
    assert "resumed from the checkpoint of step" in resumed.stderr
    dfm("train", *arguments, f"--workdir={tmp_path / 'whole'}", check=0)
    expected = curves(tmp_path / "whole")
    assert expected.shape == (30, 1)
    np.testing.assert_allclose(curves(tmp_path / "run"), expected, rtol=2e-3)


@pytest.mark.slow
def test_a_full_disk_stops_all_with_a_message_and_keeps_the_last_checkpoint(dfm, tiny, tmp_path):
    arguments = (*tiny, "--config.training.num_steps=400", "--config.training.checkpoint_every=50")
    processes = start(arguments, tmp_path, processes=2, devices=1)
    wait_for_a_checkpoint(processes, tmp_path)
    # For process 0 all files are full now: EFBIG, where a full disk gives ENOSPC.
    resource.prlimit(processes[0].pid, resource.RLIMIT_FSIZE, (0, 0))
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert processes[0].returncode == 1, outputs[0]
    last = outputs[0].splitlines()[-1]
    assert last.startswith(f"dfm: {tmp_path}")
    assert "cannot be written" in last
    assert "File too large" in last
    assert "the same command goes on" in last
    assert "Traceback" not in outputs[0]
    assert processes[1].returncode in (GO_ON, -signal.SIGABRT), outputs[1]

    kept = steps(tmp_path)[-1]
    resumed = dfm("train", *arguments, f"--workdir={tmp_path}", check=0)
    assert f"resumed from the checkpoint of step {kept}" in resumed.stderr
    assert steps(tmp_path)[-1] == 400


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("mpirun"), reason="no Open MPI: apt-get install openmpi-bin")
def test_open_mpi_tells_the_processes_of_each_other(tiny, tmp_path):
    # Fresh: mpirun starts them, and each has hashes of strings of its own.
    command = [
        *("mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"),
        *(sys.executable, "-m", "dfm_flax", "train", *tiny, f"--workdir={tmp_path}"),
        *("--coordinator", "auto"),
    ]
    process = subprocess.run(
        command, capture_output=True, text=True, env=environment(1), timeout=300
    )
    output = process.stdout + process.stderr
    assert process.returncode == 0, output
    assert "process 0 of 2" in output
    assert steps(tmp_path)[-1] == 60
    assert (tmp_path / "results.json").exists()
