import argparse
import subprocess
import sys

import pytest

from dfm_flax.cli import main
from dfm_flax.commands.arguments import count, described, positive, seed, whole
from dfm_flax.generation.prior import PRIORS


def test_modules_are_described_without_importing_them(tmp_path, monkeypatch):
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "__init__.py").write_text("")
    (tmp_path / "things" / "one.py").write_text('"""The first\nof all.\n\nMore.\n"""\n1 / 0\n')
    (tmp_path / "things" / "another.py").write_text(f'"""{"word " * 30}"""\n')
    monkeypatch.syspath_prepend(tmp_path)
    lines = described("things").splitlines()
    assert lines[0].startswith("  another  word word")
    assert lines[1].startswith("           word word")
    assert lines[2:] == ["  one      The first of all."]


def test_the_help_of_sample_lists_the_priors(capsys):
    with pytest.raises(SystemExit):
        main(["sample", "--help"])
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines[lines.index("priors:") + 1 :] if line[2] != " "]
    assert listed[:-1] == PRIORS.names()


def test_a_help_imports_nothing_heavy():
    code = (
        "import sys; from dfm_flax.cli import main\n"
        "try: main(['sample', '--help'])\n"
        "except SystemExit: print([m for m in ('numpy', 'jax') if m in sys.modules])"
    )
    # Fresh, as it is about imports.
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (whole, "1e3", 1000),
        (count, "2_000", 2000),
        (seed, "4294967295", 2**32 - 1),
        (seed, "0", 0),
        (positive, "1e-3", 0.001),
        (positive, "3", 3.0),
    ],
)
def test_numbers(read, text, value):
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (seed, "-1", "a seed is from 0 to 4294967295"),
        (seed, "4294967296", "a seed is from 0 to 4294967295"),  # which would equal 0
        (seed, str(2**64), "a seed is from 0 to 4294967295"),
        (count, "0", "1 or more"),
        (count, "1.5", "'1.5' is not a whole number"),
        (count, "", "'' is not a whole number"),
        (count, "9" * 5000, "is not a whole number"),
        (positive, "0", "0 is not a number above 0"),
        (positive, "nan", "'nan' is not a number"),
        (positive, "1e999", "'1e999' is not a number"),
        (positive, "much", "'much' is not a number"),
    ],
)
def test_numbers_that_are_refused(read, text, said):
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        read(text)
