#!/usr/bin/env python3
"""Kills runs of two processes at random moments, goes on with them, and compares the bits.

    python -m tests.launch.fault_drill --runs 50
    python -m tests.launch.fault_drill --runs 20 --streamed

The runs fit a machine to an image, or with --streamed a generator to images that worker processes
read from the disk, with a table of latents that is shared out: each process saves its rows.

One run is never killed. Each of the others is killed once: SIGKILL or SIGTERM, to one of its
processes or to both, at a random moment of its start, its steps or its saving. Then the same
command goes on with it, and the digest of its last checkpoint (all weights, the optimizer, the
random stream, and the curve of the losses) must be that of the run that was never killed. With
--streamed each image must have been in one batch of each epoch.
Prints a row for each; exits with 1 unless all are equal and none hung.

The processes are those of `dfm train`, forked from one that has imported it: importing takes
longer than training here.
"""

import argparse
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests import fork_server

NUM_PROCESSES = 2
NUM_STEPS, LOG_EVERY, CHECKPOINT_EVERY = 80, 2, 10
ARGUMENTS = (
    "--config=compress",
    *("--config.data.resize=16", "--config.data.crop=16,16"),
    *("--config.model.machine.depth=2", "--config.model.machine.width=2"),
    *("--config.training.batch_size=16", "--config.optimizer.learning_rate=3e-3"),
    f"--config.training.num_steps={NUM_STEPS}",
    f"--config.training.log_every={LOG_EVERY}",
    f"--config.training.checkpoint_every={CHECKPOINT_EVERY}",
)
STREAMED = (
    "--config=digits:table",
    *("--config.model.latent_size=4", "--config.model.hidden=8", "--config.observers="),
    *("--config.data.size=8", "--config.data.feed=stream", "--config.data.workers=1"),
    *("--config.training.batch_size=20", "--config.optimizer.warmup_steps=0"),
    *("--config.training.table_placement=sharded", "--config.optimizer.table_adam=rows"),
    f"--config.training.num_steps={NUM_STEPS}",
    f"--config.training.log_every={LOG_EVERY}",
    f"--config.training.checkpoint_every={CHECKPOINT_EVERY}",
    f"--config.observe_every={CHECKPOINT_EVERY}",
)
STREAMED_IMAGES, EPOCHS = 160, 10  # of 8 batches: most checkpoints are in the middle of one
# Others must have stopped by then: the heartbeat's minute and some for a busy machine.
HUNG_AFTER = 120
# `dfm`, whose first argument are the seconds without a heartbeat after which a process is gone.
DFM = """
import sys
from dfm_flax import cli, cluster
cluster.HEARTBEAT_SECONDS = int(sys.argv.pop(1))
sys.exit(cli.main())
"""


@dataclass(frozen=True)
class Kill:
    """What is done to a run: which signal, to which of its processes, and when.

    Attributes:
      after: the step whose checkpoint must be there; 0 is the start.
      delay: after that, as a part of the time from one checkpoint to the next.
    """

    signal: signal.Signals
    targets: tuple[int, ...]
    after: int
    delay: float

    @classmethod
    def draw(cls, rng: random.Random) -> "Kill":
        return cls(
            rng.choice([signal.SIGKILL, signal.SIGTERM]),
            rng.choice([(0,), (1,), (0, 1)]),
            rng.randrange(0, NUM_STEPS - CHECKPOINT_EVERY, CHECKPOINT_EVERY),
            rng.random(),
        )


@dataclass(frozen=True)
class Run:
    """A run as it is started, again and again.

    Attributes:
      arguments: of `dfm train`, but the folder and the processes.
      heartbeat: seconds without a sign of life after which a process is given up.
    """

    workdir: Path
    arguments: tuple[str, ...]
    heartbeat: int
    environment: dict[str, str]

    def start(self) -> list[fork_server.Popen]:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            coordinator = f"localhost:{free.getsockname()[1]}"
        processes = []
        for i in range(NUM_PROCESSES):
            command = (
                *(sys.executable, "-c", DFM, self.heartbeat),
                *("train", *self.arguments, f"--workdir={self.workdir}"),
                *(f"--coordinator={coordinator}", f"--num-processes={NUM_PROCESSES}"),
                f"--process-id={i}",
            )
            with self.workdir.with_name(f"{self.workdir.name}.{i}.log").open("w") as log:
                process = fork_server.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT, env=self.environment
                )
            processes.append(process)
        return processes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--streamed", action="store_true", help="a generator with a stream")
    parser.add_argument("--heartbeat", type=int, default=60, help="seconds that a loss may take")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        rows = list(drill(Path(folder), **vars(options)))
    equal = sum(row["equal"] == "yes" for row in rows)
    hung = sum(row["hung"] for row in rows)
    print(f"{equal} of {len(rows)} equal, {hung} hung")
    return 0 if equal == len(rows) and not hung else 1


def drill(folder: Path, runs: int, seed: int, streamed: bool, heartbeat: int):
    """Yields a row of the table for each run, and prints it."""
    arguments = streamed_arguments(folder / "images") if streamed else ARGUMENTS
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    environment = cache | os.environ | {"JAX_PLATFORMS": "cpu"}
    pace = whole_run(Run(folder / "whole", arguments, heartbeat, environment))
    expected = digest(folder / "whole")
    columns = "run", "signal", "to", "at step", "exit codes", "stopped after", "hung", "equal"
    print(" | ".join(columns), flush=True)
    rng = random.Random(seed)
    run = Run(folder / "run", arguments, heartbeat, environment)
    for number in range(1, runs + 1):
        while (killed := kill(run, Kill.draw(rng), pace)) is None:
            shutil.rmtree(run.workdir)  # it was done before
        row = {"run": number, **killed}
        lives = finish(run)
        row["equal"] = "yes" if digest(run.workdir) == expected else "NO"
        if streamed and not (seen(run.workdir) == EPOCHS).all():
            row["equal"] = "NO, by images"
        if lives > 1:
            row["equal"] += f" (after {lives} lives)"
        print(" | ".join(str(row[column]) for column in columns), flush=True)
        shutil.rmtree(run.workdir)
        yield row


def streamed_arguments(folder: Path) -> tuple[str, ...]:
    """Of a run on images that this makes."""
    import numpy as np
    import PIL.Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(STREAMED_IMAGES):
        image = rng.integers(0, 256, (8, 8, 3), np.uint8)
        PIL.Image.fromarray(image).save(folder / f"{i:04}.png")
    return (*STREAMED, f"--config.data.name=folder:{folder}")


def whole_run(run: Run) -> float:
    """A run that is not killed; seconds from one checkpoint to the next."""
    processes, seen = run.start(), {}
    while any(process.poll() is None for process in processes):
        seen.setdefault(newest_step(run.workdir), time.monotonic())
        time.sleep(0.002)
    assert all(process.returncode == 0 for process in processes), logs(run)
    first, *_, last = sorted(step for step in seen if step)
    return (seen[last] - seen[first]) * CHECKPOINT_EVERY / (last - first)


def kill(run: Run, what: Kill, pace: float) -> dict | None:
    """A run that is killed, until all of its processes have ended; None if it was faster."""
    processes, workdir = run.start(), run.workdir
    # With a config all have joined; before, the others wait for as long as a host may need to come.
    while not (workdir / "config.json").exists() or newest_step(workdir) < what.after:
        time.sleep(0.002)
    time.sleep(what.delay * pace)
    for target in what.targets:
        processes[target].send_signal(what.signal)
    clock = time.monotonic()
    hung = 0
    for process in processes:
        try:
            process.wait(max(0.1, clock + HUNG_AFTER - time.monotonic()))
        except subprocess.TimeoutExpired:
            hung = 1
            process.kill()
            process.wait()
    if all(process.returncode == 0 for process in processes):
        return None
    return {
        "signal": what.signal.name,
        "to": "both" if len(what.targets) > 1 else f"process {what.targets[0]}",
        "at step": newest_step(workdir),
        "exit codes": " ".join(str(process.returncode) for process in processes),
        "stopped after": f"{time.monotonic() - clock:.1f} s",
        "hung": hung,
    }


def finish(run: Run) -> int:
    """Starts the run again until it has ended well; how often that was."""
    for lives in range(1, 8):
        processes = run.start()
        codes = [process.wait(600) for process in processes]
        if not any(codes):
            return lives
    raise SystemExit(f"the run does not end well:\n{logs(run)}")


def logs(run: Run) -> str:
    return "\n".join(file.read_text() for file in sorted(run.workdir.parent.glob("*.log")))


def newest_step(workdir: Path) -> int:
    steps = [path.name for path in workdir.glob("checkpoints/*") if path.name.isdigit()]
    return max(map(int, steps), default=0)


def digest(workdir: Path) -> str:
    newest = workdir / "checkpoints" / str(newest_step(workdir))
    progress = json.loads(next((newest / "progress").iterdir()).read_text())
    return f"{newest.name} {progress['digest']}"


def seen(workdir: Path):
    """In how many batches each image was, by the steps that its latent has had."""
    import numpy as np

    from dfm_flax.training.checkpoints import restore_parts

    updates = np.zeros(STREAMED_IMAGES, np.int32)
    _, parts = restore_parts(workdir / "checkpoints", {"table": {"updates": updates}})
    return parts["table"]["updates"]


if __name__ == "__main__":
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax tells that it just reads
    sys.exit(main())
