"""Figures fail alone, whoever draws them."""

import ast
from pathlib import Path

import dfm_flax
from dfm_flax.benchmarks import report
from dfm_flax.figures.attempts import told_if_not_drawn

TEX = "Failed to process string with tex\nbecause latex could not be found"


def test_what_fails_is_told_in_one_line(caplog):
    drawn = []
    with told_if_not_drawn(Path("a.png"), drawn):
        raise RuntimeError(TEX)
    with told_if_not_drawn(Path("b.png"), drawn):
        pass
    assert drawn == [Path("b.png")]
    (record,) = caplog.records
    assert record.message == "no picture a.png: " + " ".join(TEX.split())


def figures_drawn():
    """Each call of a function that draws a figure, as file:line, and whether it may fail alone."""
    found = {}
    for file in sorted(Path(dfm_flax.__file__).parent.rglob("*.py")):
        tree = ast.parse(file.read_text())
        guarded = {
            call
            for block in ast.walk(tree)
            if isinstance(block, ast.With)
            if any("told_if_not_drawn" in ast.unparse(item) for item in block.items)
            for call in ast.walk(block)
        }
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("_figure"):
                found[f"{file.name}:{call.lineno}"] = call in guarded
    return found


def test_every_figure_may_fail_alone():
    found = figures_drawn()
    assert len(found) >= 5
    assert all(found.values()), found


def test_measured_speeds_are_kept_without_their_figure(tmp_path, monkeypatch, caplog):
    def fails(*arguments):
        raise RuntimeError(TEX)

    monkeypatch.setattr(report, "_plot", fails)
    report.write(tmp_path / "speed.json", tmp_path / "speed.png", [])
    assert [path.name for path in tmp_path.iterdir()] == ["speed.json"]
    assert "latex could not be found" in caplog.text


def test_bars_are_shown_on_terminals_only():
    """In a log file they would be noise."""
    for file in sorted(Path(dfm_flax.__file__).parent.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "tqdm":
                assert "disable" in {keyword.arg for keyword in call.keywords}, file
