"""Tests of claims: what a command may write, and what it may not."""

from pathlib import Path

import pytest

from dfm_flax.errors import UsageError
from dfm_flax.outputs import Outputs, unused_names


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("out", "folder"),
    [
        ("a.png", False),
        ("a.PNG", False),
        ("a/b.jpg", False),
        ("a", True),
        ("a.png/", True),
        ("coded/0.25", True),
        ("there.png", True),
        (".", True),
    ],
)
def test_files_and_folders(out, folder):
    Path("there.png").mkdir()
    assert Outputs(out).is_folder({".png", ".jpg"}) == folder


def test_a_name_of_no_format_is_neither():
    with pytest.raises(UsageError, match=r"use a suffix such as \.png \.jpg, or a name without"):
        Outputs("a.pgn").is_folder({".png", ".jpg"})
    with pytest.raises(UsageError, match="use a name without suffix"):
        Outputs("a.png").folder(["b"])
    assert Outputs("a.png/").folder(["b"]) == [Path("a.png/b")]


def test_paths_of_results():
    assert Outputs("o").each(["a", "b", "a", "a_2", "a"], ".x") == [
        Path("o", f"{name}.x") for name in ("a", "b", "a_2", "a_2_2", "a_3")
    ]
    assert Outputs("o.x").each(["a"], ".x") == [Path("o.x")]
    assert Outputs("o.y").each(["a"], ".x", {".y"}) == [Path("o.y")]
    assert Outputs("o").one("a.x", {".x"}) == Path("o/a.x")
    with pytest.raises(UsageError, match="the name of one file, and there are 2 results"):
        Outputs("o.x").each(["a", "b"], ".x")
    assert not list(Path().iterdir())  # nothing is made


def test_a_path_is_claimed_once():
    outputs = Outputs(".")
    outputs.claim(Path("a"))
    for same in ("a", "./b/../a"):
        with pytest.raises(UsageError, match="two results would have this name"):
            outputs.claim(Path(same))


def test_inputs_are_known_by_what_they_are():
    Path("a").write_text("")
    Path("link").symlink_to("a")
    Path("hard").hardlink_to("a")
    for name in ("a", "link", "hard"):
        with pytest.raises(UsageError, match="it is read as well"):
            Outputs(".", overwrite=True, inputs=["a", "sample:coffee"]).claim(Path(name))


def test_what_is_no_file_is_not_replaced():
    Path("folder").mkdir()
    with pytest.raises(UsageError, match="it is a folder"):
        Outputs(".", overwrite=True).claim(Path("folder"))
    with pytest.raises(UsageError, match="not a regular file"):
        Outputs(".", overwrite=True).claim(Path("/dev/null"))


def test_a_ledger_knows_what_the_command_made():
    ledger = Path("w/written.json")
    Outputs(".", ledger=ledger).written(_written("a", "result"))
    _written("b", "result")
    assert Outputs(".", ledger=ledger).claim(Path("a")) == Path("a")
    for name in ("b", "a"):
        with pytest.raises(UsageError, match=f"{name} exists"):
            Outputs(".", ledger=ledger).claim(_written(name, "mine"))
    for text in ("nonsense", "[]", '{"a": 1}', '{"a": "b"}'):
        ledger.write_text(text)
        with pytest.raises(UsageError, match="cannot be read, move it away"):
            Outputs(".", ledger=ledger).claim(Path("a"))


def _written(name, text):
    Path(name).write_text(text)
    return Path(name)


def test_names_get_numbers():
    assert unused_names(["a", "a_2", "a", "b"]) == ["a", "a_2", "a_3", "b"]
