"""Annotations of arrays say dtypes and shapes; that they are true is checked in all tests."""

import ast
from pathlib import Path

import jaxtyping
import pytest

import dfm_flax

PACKAGE = Path(dfm_flax.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def bare_arrays(annotation):
    """The arrays in an annotation of which no shape is said."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    text = ast.unparse(annotation)
    if text in ("jax.Array", "np.ndarray", "AnyArray", "NDArray"):
        return [text]
    if isinstance(annotation, ast.Subscript) and hasattr(jaxtyping, ast.unparse(annotation.value)):
        return []
    return [found for child in ast.iter_child_nodes(annotation) for found in bare_arrays(child)]


def annotations(tree):
    """(line, annotation) of all arguments, results and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.lineno, node.annotation
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield node.lineno, node.returns


@pytest.mark.parametrize(
    ("annotation", "bare"),
    [
        ('Float[jax.Array, "batch 2"]', []),
        ("dict[str, np.ndarray] | None", ["np.ndarray"]),
        ("tuple[NDArray[np.uint8], AnyArray]", ["NDArray", "AnyArray"]),
        ("'list[jax.Array]'", ["jax.Array"]),
        ("ArrayLike", []),
    ],
)
def test_bare_arrays_are_found(annotation, bare):
    assert bare_arrays(ast.parse(annotation, mode="eval").body) == bare


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_arrays_have_shapes(file):
    found = [
        f"{file.name}:{line}: {', '.join(bare)}"
        for line, annotation in annotations(ast.parse(file.read_text()))
        if (bare := bare_arrays(annotation))
    ]
    assert not found
