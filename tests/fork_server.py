"""Real processes of Python that start at once: forked from one that has imported what they need.

Most of what a short `dfm train` takes is importing JAX and TensorFlow. Here a server imports them,
once for each process of pytest, and forks itself for each command. Nothing has run in it: no
backend of JAX, no thread of its own. So a command looks for its devices as in a fresh process. It
is a child of who starts it, with its own pid, exit code, signals and pipes:

    process = fork_server.Popen([sys.executable, "-m", "dfm_flax", "--help"], stdout=PIPE)

A process is forked where it would have begun like the server. Where it would not, on Linux only
for an environment in which imports might have come out differently, it is a fresh one, as
subprocess.Popen starts it. Three things differ from a fresh one: the hashes of strings are those
of the server, modules are there before they are imported, and tracebacks begin in this file. What
tests importing, starting up, or a clean environment uses subprocess.
"""

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import logging
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
import types
from pathlib import Path

# What commands import, with all that it imports.
IMPORTED = (
    "dfm_flax.cli",
    "dfm_flax.compression.train",
    "dfm_flax.generation.train",
    "dfm_flax.training.writers",
)
# Nothing that is imported reads these; who reads them does so when a command runs.
READ_LATER = ("XLA_FLAGS", "PYTEST_CURRENT_TEST")
# That of the server: conftest.py sets it. Without, it is that of the first who wants a process.
ENVIRONMENT: dict[str, str] = {}

# What a process may be started with: all of it reaches a forked one.
OPTIONS = {"stdin", "stdout", "stderr", "text", "cwd", "env", "start_new_session"}
_ENDS = "p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"  # of pipes
_PR_SET_CHILD_SUBREAPER = 36
_MOST_BYTES = 1 << 17  # of a request: a command and its environment


class Popen(subprocess.Popen):
    """A process of `command`, [sys.executable, "-m" or "-c" or a script, ..], forked if it can be.

    Options are those of subprocess.Popen that are in `OPTIONS`.
    """

    def __init__(self, command, **options):
        if not options.keys() <= OPTIONS:
            raise TypeError(f"no options of the fork server: {options.keys() - OPTIONS}")
        super().__init__(list(map(str, command)), **options)

    def _execute_child(self, *arguments):
        """Is what subprocess.Popen starts its process with, once it has made the pipes."""
        given = inspect.signature(super()._execute_child).bind(*arguments).arguments
        python, *command = given["args"]
        pid = None
        if sys.platform == "linux" and python == sys.executable:
            ends = "p2cread", "c2pwrite", "errwrite"
            files = [i if given[end] == -1 else given[end] for i, end in enumerate(ends)]
            request = {
                "command": command,
                "cwd": os.path.abspath(given["cwd"] or "."),
                "environment": dict(os.environ if given["env"] is None else given["env"]),
                "new_session": given["start_new_session"],
            }
            pid = _server(request["environment"]).fork(request, files)
        if pid is None:
            super()._execute_child(*arguments)
            return
        self._child_created, self.pid = True, pid
        self._close_pipe_fds(*(given[end] for end in _ENDS))


def run(command, *, timeout=None, check=False, **options):
    """As subprocess.run with capture_output: what a process did that has ended."""
    pipe = subprocess.PIPE
    with Popen(command, **{"stdout": pipe, "stderr": pipe} | options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


class _Server:
    """The process that forks, seen from the one that wants processes, whose child it is."""

    def __init__(self, environment):
        self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=Path(__file__).parents[1],
                env=environment,
            )
        self.pid = self._process.pid
        atexit.register(self.close)

    def fork(self, request, files):
        """The pid of a child of ours that does what is requested; None if it has to be fresh."""
        # The server's child ends after it has forked; so its own child becomes ours.
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            socket.send_fds(self._connection, [json.dumps(request).encode()], files)
            answer = self._connection.recv(_MOST_BYTES)
        finally:
            prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        if not answer:
            raise RuntimeError(f"the fork server ended with {self._process.wait()}")
        return json.loads(answer)

    def close(self):
        """Ends the server, which sees that nobody is there; so it does if we are killed."""
        self._connection.close()
        self._process.wait()


_servers: dict[int, _Server] = {}  # of this process, by its pid: a fork of it has none


def server_pid():
    """Of the server of this process, which has started one; else KeyError."""
    return _servers[os.getpid()].pid


def _server(environment):
    if os.getpid() not in _servers:
        _servers[os.getpid()] = _Server(ENVIRONMENT or environment)
    return _servers[os.getpid()]


def serve(connection):
    """Forks a process for each request, and returns its command there; here None in the end."""
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the commands
    sys.path[0] = os.getcwd()
    before = dict(os.environ)
    for module in IMPORTED:
        importlib.import_module(module)
    after = dict(os.environ)
    added = {name: value for name, value in after.items() if before.get(name) != value}
    logging.root.handlers.clear()  # that of an import which logs; commands bring their own before
    gc.freeze()  # to look through all that is imported would copy it, in each process anew
    while True:
        message, files, _, _ = socket.recv_fds(connection, _MOST_BYTES, 3)
        if not message:
            return None
        request = json.loads(message)
        wanted = request["environment"]
        alike = all(
            wanted.get(name) in (before.get(name), after.get(name))
            for name in (wanted.keys() | before.keys()) - set(READ_LATER)
        )
        pid = _fork() if alike else None
        if pid == 0:
            connection.close()
            signal.signal(signal.SIGINT, interrupted)
            _become(request, files, added)
            return request["command"]
        connection.send(json.dumps(pid).encode())
        for file in files:
            os.close(file)


def _fork():
    """0 in a process whose parent has ended; its pid here."""
    reading, writing = os.pipe()
    between = os.fork()
    if between:
        os.close(writing)
        os.waitpid(between, 0)
        with open(reading) as pipe:
            return int(pipe.read())
    between = os.getpid()
    pid = os.fork()
    if pid:
        os.write(writing, str(pid).encode())
        os._exit(0)
    while os.getppid() == between:
        time.sleep(0.001)
    os.close(reading)
    os.close(writing)
    return 0


def _become(request, files, added):
    """Gives this process what it would have been started with."""
    if request["new_session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"] | added)
    for i, file in enumerate(files):
        os.dup2(file, i)
        os.close(file)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    sys.modules["numpy"].random.seed()  # that of Python does so by itself


def execute(command):
    """Does what `python *command` does."""
    what, *arguments = command
    if what == "-m":
        sys.argv, sys.path[0] = arguments, os.getcwd()
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif what == "-c":
        code, *arguments = arguments
        sys.argv, sys.path[0] = ["-c", *arguments], ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = command, str(Path(what).resolve().parent)
        runpy.run_path(what, run_name="__main__")


if __name__ == "__main__":
    wanted = serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted:
        execute(wanted)
