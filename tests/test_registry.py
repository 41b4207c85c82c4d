import sys

import pytest

from dfm_flax.errors import UsageError
from dfm_flax.registry import Registry, is_import_path

REGISTRY: Registry = Registry("shape", {"path": "pathlib:Path", "pure": "pathlib:PurePath"})


def test_names_and_import_paths():
    from pathlib import Path, PosixPath

    assert REGISTRY.names() == ["path", "pure"]
    assert REGISTRY.get("path") is Path
    assert REGISTRY.get("pathlib:PosixPath") is PosixPath


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pahth", r"shape 'pahth' is not one of path, pure, .* did you mean 'path'\?"),
        ("nonsense:Name", r"shape 'nonsense:Name' cannot be imported: ModuleNotFoundError"),
        ("pathlib:Pth", r"'pathlib:Pth' cannot be imported: AttributeError"),
    ],
)
def test_what_there_is_not(name, message):
    with pytest.raises(UsageError, match=message) as caught:
        REGISTRY.get(name)
    assert "\n" not in str(caught.value)


def test_a_file_in_a_folder_is_an_entry(tmp_path, monkeypatch):
    package = tmp_path / "tools_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("class Tool: pass\n")
    (package / "saw.py").write_text(
        "from tools_of_a_test import Tool\nclass Saw(Tool): pass\nclass Other: pass\n"
    )
    (package / "broken.py").write_text("raise RuntimeError('not asked for')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import tools_of_a_test

    registry = Registry.of_folder("tool", "tools_of_a_test", tools_of_a_test.Tool)
    assert registry.names() == ["broken", "saw"]
    assert registry.get("saw").__name__ == "Saw"
    assert "tools_of_a_test.broken" not in sys.modules


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("my_module:Name", True),
        ("a.b:c", True),
        ("mnist", False),
        ("mnist:3.0.1", False),
        ("mnist:3.*.*", False),
        ("folder:/a/b", False),
        ("a:b:c", False),
        ("a:", False),
    ],
)
def test_the_form_of_an_import_path(text, is_one):
    assert is_import_path(text) == is_one
