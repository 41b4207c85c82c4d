"""Pages of the reference that are made of the code, each time that the site is built.

A hook of MkDocs: `reference/api.md` lists what the package's docstring lists, `configs.md` has
every setting and every config that ships, and `cli.md` every command.
"""

import argparse
import ast
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import dfm_flax
from dfm_flax import cli
from dfm_flax.config import flatten, load_config, shipped_configs
from dfm_flax.generation.generator import GENERATORS, Generator

# What an idea of one's own is built from, besides the names of the package itself.
BUILDING_BLOCKS = (
    "fourier.Basis",
    "generation.generator.Generator",
    "generation.losses.PenalizedGenerator",
    "generation.losses.penalized_loss",
    "generation.prior.Prior",
    "generation.sampler.Sampler",
    "generation.sampling.TrainedGenerator",
    "generation.pretrained.load_pretrained",
    "training.observer.Observer",
    "training.observer.Observation",
    "data.image_sets.ImageSet",
    "data.image_sets.load_image_set",
    "data.parts.bounds",
    "data.shuffling.shuffled_batch",
    "codec.api.Encoded",
    "metrics.generation",
    "metrics.neighbors",
    "metrics.rate_distortion",
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages to the site."""
    pages = {"api": api_page(), "configs": configs_page(), "cli": cli_page()}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def api_page() -> str:
    """Names of the package by the headings of its docstring, then building blocks."""
    lines = ["# API", "", "What `import dfm_flax as dfm` has; `help(dfm_flax)` is the same list."]
    for heading, names in api_sections():
        lines += ["", f"## {heading}"]
        for name in names:
            thing = getattr(dfm_flax, name)
            if callable(thing):
                lines += ["", f"::: {thing.__module__}.{thing.__qualname__}"]
                lines += ["    options:", f"      heading: dfm.{name}"]
    lines += ["", "## What ideas are built from", ""]
    lines += ["[Extend](../how-to/extend.md) has an example of each kind."]
    lines += [f"\n::: dfm_flax.{path}" for path in BUILDING_BLOCKS]
    return "\n".join(lines) + "\n"


def api_sections() -> Iterator[tuple[str, list[str]]]:
    """(heading, names) of the lists in the docstring of the package."""
    text = inspect.getdoc(dfm_flax) or ""
    for heading, body in re.findall(r"^(\w[^\n]*):\n((?:    .*\n)+)", text, re.M):
        found = re.findall(r"^    ((?:\w+, )*\w+)  +\S", body, re.M)
        names = [name for entry in found for name in entry.split(", ")]
        if names:
            yield heading, names


def configs_page() -> str:
    """Every setting with its default and meaning, then the configs that ship."""
    lines = [
        "# Configs",
        "",
        "A config starts from a base schema and sets what differs. Any setting can also be set on",
        "the command line, `--config.training.num_steps=10000`; `dfm train --config NAME --show`",
        "prints all of them. A file of your own is a config as well: `--config my_config.py`.",
    ]
    shipped = shipped_configs()
    for task, name in (("Compression", "compression"), ("Generation", "generation")):
        file = shipped[f"base_{name}"]
        lines += ["", f"## {task}", "", f"The schema is `configs/{file.name}`.", ""]
        lines += settings_table(
            file.read_text(), "get_config", flatten(load_config(f"base_{name}"))
        )
    for name in GENERATORS.names():
        generator = GENERATORS.get(name)
        lines += ["", f"### Of the generator `{name}`", ""]
        known = flatten(generator.settings())
        tables = [
            settings_table(Path(inspect.getfile(kind)).read_text(), "settings", known)
            for kind in generator.__mro__
            if "settings" in vars(kind) and kind is not Generator
        ]
        # A setting that a generator gives anew is the base's no more.
        rows = {row.split("|")[1]: row for table in reversed(tables) for row in table[2:]}
        lines += [*tables[0][:2], *rows.values()]
    lines += ["", "## Configs that ship", "", "`dfm configs` lists them."]
    for name, file in shipped.items():
        docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
        lines += ["", f"### {name}", "", "```text", docstring, "```"]
    return "\n".join(lines) + "\n"


def settings_table(source: str, function: str, known: dict[str, Any]) -> list[str]:
    """A table of the settings that a function assigns, with the comments at its lines.

    Args:
      source: of the file.
      known: the default of each setting.
    """
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    notes = comments(source)
    (body,) = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    before: list[str] = []
    for number in range(body.lineno, (body.end_lineno or 0) + 1):
        line = source.splitlines()[number - 1].strip()
        found = re.match(r"config\.([\w.]+) = (?!ConfigDict\(\))", line)
        if line.startswith("#"):
            before.append(notes[number])
        elif found and found[1] in known:
            said = [notes[number]] if number in notes else []
            meaning = ". ".join([*said, *([" ".join(before)] if before else [])])
            default = repr(known[found[1]])
            rows.append(f"| `{found[1]}` | `{default}` | {_markdown(meaning)} |")
            before = []
        else:
            before = []
    return rows


def comments(source: str) -> dict[int, str]:
    """The comment at each line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("# ")
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def cli_page() -> str:
    """Each command of `dfm`, and its actions, as argparse has them."""
    lines = ["# Command line", "", "`dfm COMMAND --help` says the same on a terminal."]
    for name, parser in _commands(cli._parser(), "dfm"):
        lines += ["", f"## {name}", "", "```text", parser.format_usage().strip(), "```", ""]
        lines += [_markdown(parser.description or "")]
        entries = [
            action
            for action in parser._actions
            if action.help != argparse.SUPPRESS and not isinstance(action.choices, dict)
        ]
        lines += ["", "| argument | meaning |", "| --- | --- |"]
        lines += [
            f"| {_invocation(action)} | {_markdown(action.help or '')} |" for action in entries
        ]
        if parser.epilog:
            lines += ["", "```text", parser.epilog.strip(), "```"]
    return "\n".join(lines) + "\n"


def _commands(
    parser: argparse.ArgumentParser, name: str
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for word, made in action.choices.items():
                yield from _commands(made, f"{name} {word}")


def _invocation(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    takes = action.nargs != 0
    if not action.option_strings:
        return f"`{value}`"
    return ", ".join(
        f"`{text} {value}`" if takes else f"`{text}`" for text in action.option_strings
    )


def _markdown(text: str) -> str:
    """Plain text with its marks made literal, but for code in backticks."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*|<\[\]])", r"\\\1", part) for part in parts
    )
