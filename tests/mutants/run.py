"""Puts each fault of mutants.py into a copy of the tree and runs the tests that must find it.

    make mutants
    python tests/mutants/run.py [--faults-only] [TEXT ..]

With TEXT only those faults whose file, change or tests have one of them. The tests run first
without a fault, unless --faults-only says that they are known to pass. Exit code 1 if a fault
survives, or if its place in the code is not found once.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600  # seconds of the tests of one fault
# What takes longer to import than most tests take: imported once, before processes are forked.
IMPORTED = (
    *("beartype", "constriction", "flax.linen", "hypothesis.extra.numpy", "jax", "jaxtyping"),
    *("ml_collections", "optax", "orbax.checkpoint", "pytest", "scipy.stats", "sklearn.mixture"),
)


def copy_tree(target: Path) -> None:
    """The files that git knows or would, as they are now, and the compiled kernels."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    kernels = [str(path.relative_to(ROOT)) for path in ROOT.glob("dfm_flax/*/*.so")]
    for name in [*listed, *kernels]:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def prepare(tree: Path) -> None:
    """Has all processes to come import what is in the tree, and share what they compile."""
    os.environ |= {
        "PYTHONPATH": str(tree),
        "JAX_COMPILATION_CACHE_DIR": os.environ.get(
            "JAX_COMPILATION_CACHE_DIR", str(tree / "build" / "compiled")
        ),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(tree))
    os.chdir(tree)
    for name in IMPORTED:
        importlib.import_module(name)


def run_tests(tests: Sequence[str], output: Path) -> int | None:
    """pytest's exit code in a process of its own; None where it took too long."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_pytest, args=(tests, output))
    process.start()
    process.join(LIMIT * len(tests))
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def _pytest(tests: Sequence[str], output: Path) -> None:
    import pytest

    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        code = 99  # not pytest's, should it raise
        try:
            arguments = ["-x", "-p", "no:cacheprovider", *(f"tests/{test}" for test in tests)]
            code = int(pytest.main(arguments))
        finally:
            sys.stdout.flush()
            os._exit(code)  # threads of JAX may still wait for work


def outcome(tree: Path, mutant: Mutant) -> str:
    """What becomes of a fault: killed, or why not."""
    file = tree / mutant.file
    source = file.read_text()
    if (count := source.count(mutant.old)) != 1:
        return f"its place is found {count} times"
    file.write_text(source.replace(mutant.old, mutant.new))
    output = tree / "build" / "output.txt"
    try:
        code = run_tests([mutant.tests], output)
    finally:
        file.write_text(source)
    if code == 1:
        reason = next((line for line in output.read_text().splitlines() if line[:2] == "E "), "E ?")
        return f"killed ({reason[1:].strip()[:60]})"
    known = {0: "SURVIVED", None: f"killed: not done in {LIMIT} s"}
    return known.get(code, f"NO TEST RAN (pytest's exit code {code})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults-only", action="store_true")
    parser.add_argument("texts", nargs="*", metavar="TEXT")
    options = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if not options.texts or any(text in "\n".join(mutant) for text in options.texts)
    ]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        (tree / "build").mkdir(exist_ok=True)
        prepare(tree)
        if not options.faults_only:
            output = tree / "build" / "output.txt"
            if run_tests(sorted({mutant.tests for mutant in chosen}), output) != 0:
                print(f"without a fault, tests fail already\n{output.read_text()}")
                return 1
        for mutant in chosen:
            clock = time.perf_counter()
            became = outcome(tree, mutant)
            bad += not became.startswith("killed")
            seconds = time.perf_counter() - clock
            change = " ".join(f"{mutant.old} -> {mutant.new}".split())
            print(f"{seconds:4.0f} s  {mutant.file}: {change}: {became}", flush=True)
        os.chdir(ROOT)
    print(f"{len(chosen) - bad} of {len(chosen)} killed")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
