"""Puts each fault of mutants.py into a copy of the tree and runs the tests that must find it.

    make mutants
    python tests/mutants/run.py [TEXT ..]

With TEXT only those faults whose file or tests have one of them. The tests run first without a
fault. Exit code 1 if a fault survives, or if its place in the code is not found once.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 600  # seconds of the tests of one fault


def copy_tree(target: Path) -> None:
    """The files that git knows or would, as they are now, and the compiled kernels."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    kernels = [str(path.relative_to(ROOT)) for path in ROOT.glob("dfm_flax/fourier/*.so")]
    for name in [*listed, *kernels]:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def run_tests(tree: Path, tests: list[str]) -> tuple[int | None, str]:
    """pytest's exit code, None where it took too long, and what it said."""
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        # What a fault leaves as it is need not be compiled again.
        "JAX_COMPILATION_CACHE_DIR": str(tree / "build" / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(
            [*command, *(f"tests/{test}" for test in tests)],
            cwd=tree,
            env=environment,
            timeout=LIMIT * len(tests),
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


def outcome(tree: Path, mutant: Mutant) -> str:
    """What becomes of a fault: killed, or why not."""
    file = tree / mutant.file
    source = file.read_text()
    if (count := source.count(mutant.old)) != 1:
        return f"its place is found {count} times"
    file.write_text(source.replace(mutant.old, mutant.new))
    try:
        code, _ = run_tests(tree, [mutant.tests])
    finally:
        file.write_text(source)
    known = {0: "SURVIVED", 1: "killed", None: f"killed: not done in {LIMIT} s"}
    return known.get(code, f"no test ran (pytest's exit code {code})")


def main(wanted: list[str]) -> int:
    chosen = [
        mutant
        for mutant in MUTANTS
        if not wanted or any(text in f"{mutant.file} {mutant.tests}" for text in wanted)
    ]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        print(f"{len(chosen)} faults; their tests, without any:", end=" ", flush=True)
        code, said = run_tests(tree, sorted({mutant.tests for mutant in chosen}))
        if code != 0:
            print(f"they fail\n{said}")
            return 1
        print("they pass")
        for mutant in chosen:
            clock = time.perf_counter()
            became = outcome(tree, mutant)
            bad += not became.startswith("killed")
            seconds = time.perf_counter() - clock
            change = " ".join(f"{mutant.old} -> {mutant.new}".split())
            print(f"{became:9} {seconds:4.0f} s  {mutant.file}: {change}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} killed")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
