"""Forked processes do what fresh ones do, each of which is asked for both."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests import fork_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all are fresh"),
]
START = {"forked": fork_server.Popen, "fresh": subprocess.Popen}
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


@pytest.fixture(params=START)
def start(request):
    """start(*arguments, ..): a process of Python with pipes."""

    def started(*arguments, environment=None, **options):
        changes = {"JAX_PLATFORMS": "cpu"} | (environment or {})
        options = {**PIPES, "text": True, "env": os.environ | changes} | options
        return START[request.param]([sys.executable, *arguments], **options)

    return started


def ended(process, entered=None):
    """The exit code, and what a process has printed."""
    output, errors = process.communicate(entered, timeout=120)
    return process.returncode, output, errors


HAS_TENSORFLOW = "import sys; print('tensorflow' in sys.modules)"


def environment_of(**changes):
    return os.environ | {"JAX_PLATFORMS": "cpu"} | changes


def test_a_process_is_forked_where_it_would_have_begun_alike():
    command = [sys.executable, "-c", HAS_TENSORFLOW]
    for changes, forked in (
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, True),
        ({"JAX_PLATFORMS": "cuda"}, False),
        ({"JAX_ENABLE_X64": "1"}, False),
        ({"PYTHONHASHSEED": "3"}, False),
        ({"SOMETHING_ELSE": "3"}, False),
    ):
        done = fork_server.run(command, env=environment_of(**changes), text=True, check=True)
        assert done.stdout == f"{forked}\n", changes
    missing = environment_of()
    del missing["JAX_PLATFORMS"]
    assert fork_server.run(command, env=missing, text=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("import sys; sys.exit(75)", 75),
        ("import sys; sys.exit('why')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(3)", 3),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import signal; signal.raise_signal(signal.SIGKILL)", -signal.SIGKILL),
        ("import os; os.abort()", -signal.SIGABRT),
    ],
)
def test_exit_codes(start, code, expected):
    assert ended(start("-c", code))[0] == expected


def test_an_exception_prints_its_traceback(start):
    _, output, errors = ended(start("-c", "print('begun')\ndef fails():\n    1 / 0\nfails()"))
    assert output == "begun\n"
    assert errors.startswith("Traceback (most recent call last):\n")
    assert errors.splitlines()[-3:] == [
        '  File "<string>", line 4, in <module>',
        '  File "<string>", line 3, in fails',
        "ZeroDivisionError: division by zero",
    ]


def test_what_is_left_to_do_at_the_end_is_done(start):
    code = "import atexit, threading, time\n"
    code += "atexit.register(print, 'last')\n"
    code += "threading.Thread(target=lambda: (time.sleep(0.1), print('in a thread'))).start()"
    assert ended(start("-c", code)) == (0, "in a thread\nlast\n", "")


def test_input_output_and_errors_are_apart(start):
    code = "import sys; print(sys.stdin.read().upper()); print('no', file=sys.stderr)"
    assert ended(start("-c", code), "ça") == (0, "ÇA\n", "no\n")
    together = start("-c", code, stderr=subprocess.STDOUT)
    assert sorted(ended(together, "ça")[1].splitlines()) == ["no", "ÇA"]


def test_output_goes_to_files(start, tmp_path):
    with (tmp_path / "log").open("w") as log:
        process = start("-c", "print('told')", stdin=None, stdout=log, stderr=log)
        assert process.wait(120) == 0
    assert (tmp_path / "log").read_text() == "told\n"


def test_nothing_else_is_open(start):
    """Neither the ends of pipes, which would keep others waiting, nor the server's connection."""
    code = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
    assert ended(start("-c", code)) == (0, "[0, 1, 2]\n", "")


def test_folder_environment_and_arguments(start, tmp_path, monkeypatch):
    code = "import os, sys; print(os.getcwd(), sys.argv, sys.path[0], os.environ.get('XLA_FLAGS'))"
    process = start("-c", code, "a", "--b", cwd=tmp_path, environment={"XLA_FLAGS": "ça"})
    assert ended(process) == (0, f"{tmp_path} ['-c', 'a', '--b']  ça\n", "")
    monkeypatch.chdir(tmp_path)
    assert ended(start("-c", code))[1].startswith(f"{tmp_path} ")


def test_an_environment_is_replaced_and_what_imports_add_is_there():
    code = "import dfm_flax.training.writers, json, os; print(json.dumps(dict(os.environ)))"
    command = [sys.executable, "-c", code]
    options = {"env": environment_of(XLA_FLAGS=""), "check": True}
    forked = fork_server.run(command, **options).stdout
    fresh = subprocess.run(command, **options, capture_output=True).stdout
    assert json.loads(forked) == json.loads(fresh)


def test_modules_and_scripts(start, tmp_path):
    told = "import sys; print(__name__, sys.argv, sys.path[0]); import beside\n"
    (tmp_path / "script.py").write_text(told)
    (tmp_path / "beside.py").write_text("print(__name__)\n")
    path = str(tmp_path / "script.py")
    assert ended(start(path, "a"))[1] == f"__main__ {[path, 'a']} {tmp_path}\nbeside\n"
    process = start("-m", "script", "a", cwd=tmp_path)
    assert ended(process)[1] == f"__main__ {[path, 'a']} {tmp_path}\nbeside\n"


SLEEPS = "import signal, time\nprint('ready', flush=True)\ntime.sleep(100)"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_signals(start, number):
    with start("-c", SLEEPS) as process:
        assert process.stdout.readline() == "ready\n"
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(120) == -number
        assert ("KeyboardInterrupt" in process.stderr.read()) == (number == signal.SIGINT)


def test_handlers_and_masks_are_those_of_a_fresh_process(start):
    code = "import signal; print([str(signal.getsignal(n)) for n in range(1, 32)],"
    code += " signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    process = START["fresh"]([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    expected = process.communicate()[0].split(" at 0x")[0]
    assert ended(start("-c", code))[1].split(" at 0x")[0] == expected


def test_waiting_has_an_end(start):
    with start("-c", SLEEPS) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.kill()
    with pytest.raises(subprocess.TimeoutExpired):
        fork_server.run([sys.executable, "-c", SLEEPS], timeout=0.1, env=environment_of())


def test_it_is_a_child_of_who_starts_it_in_its_session_or_its_own(start):
    code = "import os; print(os.getpid(), os.getppid(), os.getsid(0), os.getpgid(0))"
    for new_session in (False, True):
        process = start("-c", code, start_new_session=new_session)
        pid, parent, session, group = map(int, ended(process)[1].split())
        assert (pid, parent) == (process.pid, os.getpid())
        expected = (pid, pid) if new_session else (os.getsid(0), os.getpgid(0))
        assert (session, group) == expected


@pytest.mark.parametrize("devices", [1, 3])
def test_devices_are_those_that_are_asked_for(start, devices):
    flags = f"--xla_force_host_platform_device_count={devices}"
    process = start("-c", "import jax; print(len(jax.devices()))", environment={"XLA_FLAGS": flags})
    assert ended(process)[1] == f"{devices}\n"


@pytest.mark.parametrize(
    ("name", "value", "code", "expected"),
    [
        (
            "JAX_DEFAULT_MATMUL_PRECISION",
            "bfloat16",
            "jax.config.jax_default_matmul_precision",
            "bfloat16",
        ),
        ("JAX_ENABLE_X64", "1", "jax.numpy.arange(2.0).dtype", "float64"),
        ("JAX_NUM_CPU_DEVICES", "5", "len(jax.devices())", "5"),
    ],
)
def test_settings_of_jax_are_those_of_the_environment(start, name, value, code, expected):
    process = start("-c", f"import jax; print({code})", environment={name: value, "XLA_FLAGS": ""})
    assert ended(process)[1] == f"{expected}\n"


def test_random_numbers_are_of_each_process():
    code = "import random, numpy; print(random.random(), numpy.random.random())"
    command = [sys.executable, "-c", code]
    drawn = [fork_server.run(command, env=environment_of(), text=True).stdout for _ in range(2)]
    assert not set(drawn[0].split()) & set(drawn[1].split())


STARTS = """
import os, sys
from tests import fork_server
done = fork_server.run([sys.executable, "-c", "print('child')"], text=True)
print(done.stdout.strip(), fork_server.server_pid(), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["end", "kill"])
def test_the_server_ends_with_who_started_it(how):
    process = subprocess.Popen([sys.executable, "-c", STARTS], **PIPES, text=True)
    word, server = process.stdout.readline().split()
    assert word == "child"
    assert os.path.exists(f"/proc/{server}")
    if how == "kill":
        process.kill()
    process.communicate(timeout=120)
    deadline = time.monotonic() + 60
    while is_alive(server):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
