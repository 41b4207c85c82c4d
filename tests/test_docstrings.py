import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dfm_flax"
HEADING = re.compile(r"(Args|Attributes|Raises|Returns|Yields):")


def crooked(docstring):
    """Lines of sections that stand neither 2 spaces in nor, where an entry goes on, 4."""
    found, before = [], None  # how far the line before stands in, in a section
    for line in docstring.splitlines():
        depth = len(line) - len(line.lstrip())
        if before is not None and line.strip() and depth not in ((2,) if before == 0 else (2, 4)):
            found.append(line)
        in_section = HEADING.fullmatch(line) or (before is not None and line.strip())
        before = depth if in_section else None
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.name)
def test_sections_have_one_indent(file):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds)]
    assert [crooked(ast.get_docstring(node) or "") for node in nodes] == [[] for _ in nodes]


def test_crooked_lines_are_found():
    assert crooked("Sum.\n\nArgs:\n  a: one,\n    or two.\n  b: three.\n\nNot:\n      this.") == []
    assert crooked("Sum.\n\nArgs:\n    a: one.\n    b: two.") == ["    a: one."]
    assert crooked("Sum.\n\nReturns:\n  What is\n      new.") == ["      new."]
    assert crooked("Sum.\n\nRaises:\nValueError: never.") == ["ValueError: never."]
