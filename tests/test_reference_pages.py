"""Pages that are made of the code have all of it."""

import importlib.util
from pathlib import Path

import pytest

import dfm_flax
from dfm_flax import cli
from dfm_flax.config import flatten, load_config, shipped_configs

FILE = Path(__file__).parents[1] / "docs" / "reference_pages.py"
SPEC = importlib.util.spec_from_file_location("reference_pages", FILE)
pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pages)


def test_the_api_has_every_public_name():
    listed = [name for _, names in pages.api_sections() for name in names]
    assert sorted(listed) == sorted(dfm_flax.__all__)
    text = pages.api_page()
    for name in listed:
        if callable(getattr(dfm_flax, name)):
            assert f"heading: dfm.{name}\n" in text


def cells(text):
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return {row.split("`")[1]: row for row in rows}


@pytest.mark.parametrize("schema", ["compression", *map("generation:{}".format, ("dfm", "vae"))])
def test_every_setting_has_a_default_and_a_meaning(schema):
    rows = cells(pages.configs_page())
    for key in flatten(load_config(f"base_{schema}")):
        _, _, default, meaning, _ = rows[key].replace("\\|", "").split("|")
        assert default.strip(), key
        assert meaning.strip(), key


def test_comments_before_and_at_a_line_are_one_meaning():
    source = """
def get_config():
    # Of two values,
    # the first.
    config.a = (1, 2)  # numbers
    config.section = ConfigDict()
    config.section.b = "#"

    config.c = 1
"""
    known = {"a": (1, 2), "section.b": "#", "c": 1}
    assert pages.settings_table(source, "get_config", known)[2:] == [
        "| `a` | `(1, 2)` | numbers. Of two values, the first. |",
        "| `section.b` | `'#'` |  |",
        "| `c` | `1` |  |",
    ]


def test_every_config_that_ships_is_described():
    text = pages.configs_page()
    for name in shipped_configs():
        assert f"\n### {name}\n" in text


def test_every_command_and_option_is_there():
    text = pages.cli_page()
    parser = cli._parser()
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    for name, command in commands.items():
        assert f"\n## dfm {name}\n" in text
        for option in command._option_string_actions:
            assert f"`{option}" in text or f"`{option} " in text, option
    assert "\n## dfm data import\n" in text


def test_marks_of_markdown_are_literal_outside_of_code():
    assert pages._markdown("a*b | `c|d*` [e] <f>") == r"a\*b \| `c|d*` \[e\] \<f>"
