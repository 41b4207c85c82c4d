"""That the faults of `make mutants` can still be made; whether they are found, it says itself."""

import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MUTANTS = runpy.run_path(str(HERE / "mutants.py"))["MUTANTS"]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.file}: {m.new[:30]}")
def test_its_place_is_found_once_and_its_tests_are_there(mutant):
    """Who changes such a place writes the fault anew in mutants.py."""
    source = (ROOT / mutant.file).read_text()
    assert source.count(mutant.old) == 1
    compile(source.replace(mutant.old, mutant.new), mutant.file, "exec")
    file, _, name = mutant.tests.partition("::")
    assert f"def {name}(" in (ROOT / "tests" / file).read_text() or not name
