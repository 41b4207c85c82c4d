#!/usr/bin/env python3
"""Trains with several processes on this host: `dfm train`, once for each.

    python launch/local/train.py --processes 2 -- --config digits --workdir runs/digits

With --gpus each process gets a GPU of its own (a single process would drive them all as well).
Without, each gets --devices virtual devices of the CPU: that is slower than one process, and
shows how a run behaves on a cluster.

Lines are marked with the number of their process. Ctrl-C and SIGTERM go to all, which save and
stop together. When one dies, the others get a minute and a half to tell why and stop; then they
are killed. Exit code: 0, 75 if the run was saved and wants to be started again, else that of the
process that failed first.
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

GRACE = 90  # seconds: the heartbeat's minute, and some
SAVED = 75


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, required=True, metavar="N")
    parser.add_argument("--devices", type=int, default=1, metavar="D", help="virtual, of each")
    parser.add_argument("--gpus", action="store_true", help="a GPU for each process")
    parser.add_argument("arguments", nargs="+", help="after --: the arguments of dfm train")
    options = parser.parse_args()
    if min(options.processes, options.devices) < 1:
        parser.error("--processes and --devices are 1 or more")
    sys.stdout.reconfigure(errors="backslashreplace")
    processes = start(options)

    def forward(number, frame):
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    signal.signal(signal.SIGINT, forward)
    signal.signal(signal.SIGTERM, forward)
    return wait(processes)


def start(options: argparse.Namespace) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    processes = []
    for i in range(options.processes):
        if options.gpus:
            environment = {"CUDA_VISIBLE_DEVICES": str(i)}
        else:
            flags = os.environ.get("XLA_FLAGS", "")
            environment = {
                "JAX_PLATFORMS": "cpu",
                "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={options.devices}",
            }
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dfm_flax", "train", *options.arguments),
                *("--coordinator", coordinator),
                *("--num-processes", str(options.processes), "--process-id", str(i)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=os.environ | environment,
            start_new_session=True,  # the terminal's Ctrl-C comes once, from here
        )
        threading.Thread(target=_mark, args=(i, process.stdout)).start()
        processes.append(process)
    return processes


def _mark(number: int, lines) -> None:
    for line in lines:  # to the end, as a process whose lines nobody takes would stand still
        with contextlib.suppress(OSError):
            print(f"[{number}] {line}", end="", flush=True)


def wait(processes: list[subprocess.Popen]) -> int:
    """The exit code of the run, when all of its processes have ended."""
    first_failure, deadline, running = 0, float("inf"), True
    while running:
        time.sleep(0.1)
        running = any(process.poll() is None for process in processes)
        for i, process in enumerate(processes):
            if process.poll() not in (None, 0, SAVED) and not first_failure:
                first_failure, deadline = process.returncode, time.monotonic() + GRACE
                print(f"process {i} ended with {process.returncode}", file=sys.stderr, flush=True)
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
    if first_failure:
        return first_failure if first_failure > 0 else 128 - first_failure
    return max(process.returncode for process in processes)


if __name__ == "__main__":
    sys.exit(main())
