#!/usr/bin/env python3
"""Kills runs of two processes at random moments, goes on with them, and compares the bits.

    python tests/launch/fault_drill.py --runs 50
    python tests/launch/fault_drill.py --runs 20 --streamed

The runs fit a machine to an image, or with --streamed a generator to images that worker processes
read from the disk, with a table of latents that is shared out: each process saves its rows.

One run is never killed. Each of the others is killed once: SIGKILL or SIGTERM, to one of its
processes or to both, at a random moment of its start, its steps or its saving. Then the same
command goes on with it, and the digest of its last checkpoint (all weights, the optimizer, the
random stream, and the curve of the losses) must be that of the run that was never killed. With
--streamed each image must have been in one batch of each epoch.
Prints a row for each; exits with 1 unless all are equal and none hung.

The processes run the same code as `dfm train`, forked from one that has imported it: importing
takes longer than training here.
"""

import argparse
import atexit
import contextlib
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

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
SAVED = 75

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["dfm_flax.compression.train", "dfm_flax.generation.train", "dfm_flax.training.writers"]
)


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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--streamed", action="store_true", help="a generator with a stream")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(drill(Path(folder), options.runs, options.seed, options.streamed))
    equal = sum(row["equal"] == "yes" for row in rows)
    hung = sum(row["hung"] for row in rows)
    print(f"{equal} of {len(rows)} equal, {hung} hung")
    return 0 if equal == len(rows) and not hung else 1


def drill(folder: Path, runs: int, seed: int = 0, streamed: bool = False):
    """Yields a row of the table for each run, and prints it."""
    arguments = streamed_arguments(folder / "images") if streamed else ARGUMENTS
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    pace = whole_run(folder / "whole", arguments)
    expected = digest(folder / "whole")
    columns = "run", "signal", "to", "at step", "exit codes", "stopped after", "hung", "equal"
    print(" | ".join(columns), flush=True)
    rng = random.Random(seed)
    for number in range(1, runs + 1):
        while (killed := kill(folder / "run", arguments, Kill.draw(rng), pace)) is None:
            shutil.rmtree(folder / "run")  # it was done before
        row = {"run": number, **killed}
        lives = finish(folder / "run", arguments)
        row["equal"] = "yes" if digest(folder / "run") == expected else "NO"
        if streamed and not (seen(folder / "run") == EPOCHS).all():
            row["equal"] = "NO, by images"
        if lives > 1:
            row["equal"] += f" (after {lives} lives)"
        print(" | ".join(str(row[column]) for column in columns), flush=True)
        shutil.rmtree(folder / "run")
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


def whole_run(workdir: Path, arguments: tuple[str, ...]) -> float:
    """A run that is not killed; seconds from one checkpoint to the next."""
    processes, seen = start(workdir, arguments), {}
    while any(process.is_alive() for process in processes):
        seen.setdefault(newest_step(workdir), time.monotonic())
        time.sleep(0.002)
    assert all(process.exitcode == 0 for process in processes), logs(workdir)
    first, *_, last = sorted(step for step in seen if step)
    return (seen[last] - seen[first]) * CHECKPOINT_EVERY / (last - first)


def kill(workdir: Path, arguments: tuple[str, ...], what: Kill, pace: float) -> dict | None:
    """A run that is killed, until all of its processes have ended; None if it was faster."""
    processes = start(workdir, arguments)
    # With a config all have joined; before, the others wait for as long as a host may need to come.
    while not (workdir / "config.json").exists() or newest_step(workdir) < what.after:
        time.sleep(0.002)
    time.sleep(what.delay * pace)
    for target in what.targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(processes[target].pid, what.signal)
    clock = time.monotonic()
    hung = 0
    for process in processes:
        process.join(max(0.1, clock + HUNG_AFTER - time.monotonic()))
        if process.is_alive():
            hung = 1
            process.kill()
            process.join()
    if all(process.exitcode == 0 for process in processes):
        return None
    return {
        "signal": what.signal.name,
        "to": "both" if len(what.targets) > 1 else f"process {what.targets[0]}",
        "at step": newest_step(workdir),
        "exit codes": " ".join(str(process.exitcode) for process in processes),
        "stopped after": f"{time.monotonic() - clock:.1f} s",
        "hung": hung,
    }


def finish(workdir: Path, arguments: tuple[str, ...]) -> int:
    """Starts the run again until it has ended well; how often that was."""
    for lives in range(1, 8):
        processes = start(workdir, arguments)
        for process in processes:
            process.join()
        if all(process.exitcode == 0 for process in processes):
            return lives
    raise SystemExit(f"the run does not end well:\n{logs(workdir)}")


def logs(workdir: Path) -> str:
    return "\n".join(file.read_text() for file in sorted(workdir.parent.glob("*.log")))


def start(workdir: Path, arguments: tuple[str, ...]) -> list:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        coordinator = f"localhost:{free.getsockname()[1]}"
    processes = []
    for i in range(NUM_PROCESSES):
        command = (
            *("dfm", "train", *arguments, f"--workdir={workdir}"),
            *(f"--coordinator={coordinator}", f"--num-processes={NUM_PROCESSES}"),
            f"--process-id={i}",
        )
        log = workdir.with_name(f"{workdir.name}.{i}.log")
        processes.append(_context.Process(target=_run, args=(command, log)))
        processes[-1].start()
    return processes


def _run(arguments: tuple[str, ...], log: Path) -> None:
    """A process of a run, as the `dfm` command would be."""
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    from dfm_flax.cli import main

    sys.argv = list(arguments)
    code = main()
    atexit._run_exitfuncs()
    os._exit(code)


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

    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax tells that it just reads
    updates = np.zeros(STREAMED_IMAGES, np.int32)
    _, parts = restore_parts(workdir / "checkpoints", {"table": {"updates": updates}})
    return parts["table"]["updates"]


if __name__ == "__main__":
    sys.exit(main())
