"""Arguments that commands share."""

import argparse
import ast
import importlib
import pkgutil
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from dfm_flax.config_values import check_seed, parse
from dfm_flax.errors import UsageError
from dfm_flax.files import local_path
from dfm_flax.outputs import Outputs

Number = TypeVar("Number", int, float)


def add_workdir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workdir", required=True, type=path, metavar="DIR", help="folder of the run"
    )


def add_processes(parser: argparse.ArgumentParser) -> None:
    """The arguments by which the processes of one run find each other."""
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="where process 0 can be reached, or 'auto'"
    )
    parser.add_argument("--num-processes", type=whole, metavar="N", help="how many there are")
    parser.add_argument("--process-id", type=whole, metavar="I", help="which of them this is")


def add_max_pixels(parser: argparse.ArgumentParser) -> None:
    """For commands that read images; `cli` lets them be so large."""
    parser.add_argument(
        "--max-pixels",
        type=count,
        metavar="N",
        help="of an image that is read, which takes 48 bytes a pixel (default: 89478485)",
    )


def add_out(
    parser: argparse.ArgumentParser,
    default: str | None = None,
    *,
    required: bool = True,
    metavar: str = "OUT",
    help: str = "where to write",
) -> None:
    """The arguments of a command that writes files; `outputs` takes what they are."""
    if default is not None:
        help = f"{help}; default: {default}"
    parser.add_argument(
        "-o",
        "--out",
        required=required and default is None,
        default=default,
        type=_out,
        metavar=metavar,
        help=help,
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


def outputs(options: argparse.Namespace, inputs: Iterable[str | Path] = ()) -> Outputs:
    """The place that the arguments of `add_out` name; `inputs` are what the command reads."""
    return Outputs(options.out, options.overwrite, inputs)


def path(text: str) -> Path:
    """A local path, with ~ expanded."""
    try:
        return local_path(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _out(text: str) -> str:
    if text == "-":
        raise argparse.ArgumentTypeError("nothing is written to the standard output; name a file")
    path(text)
    return text  # as it is: a slash at its end counts


def size(text: str) -> tuple[int, int]:
    """(height, width) of WIDTHxHEIGHT, or of N for N x N."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    width, height = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not (width and height):
        raise argparse.ArgumentTypeError(f"{text} is not WIDTHxHEIGHT, like 800x600, or N for NxN")
    return height, width


def positive(text: str) -> float:
    value = _parsed(text, 0.0)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def whole(text: str) -> int:
    """A whole number, which can be written 1e3 too."""
    return _parsed(text, 0)


def count(text: str) -> int:
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number, 1 or more")
    return value


def label(text: str) -> int:
    value = whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is no class: they are counted from 0")
    return value


def seed(text: str) -> int:
    value = whole(text)
    try:
        check_seed(value)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return value


def _parsed(text: str, default: Number) -> Number:
    try:
        return parse(text, default)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def shard(text: str) -> tuple[int, int]:
    """(I, N) of I/N: one of N parts, counted from 0."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if index >= parts:
        raise argparse.ArgumentTypeError(f"{text} is not I/N with I from 0 to N-1, like 0/4")
    return index, parts


def described(package: str) -> str:
    """The modules of a package with the first paragraphs of their docstrings, as lines of a help.

    The modules are read and not imported, which takes a second where they compute.
    """
    folder = Path(importlib.import_module(package).__path__[0])
    texts = {
        module.name: ast.get_docstring(ast.parse((folder / f"{module.name}.py").read_text())) or ""
        for module in pkgutil.iter_modules([str(folder)])
    }
    column = 4 + max(map(len, texts))
    return "\n".join(
        textwrap.fill(
            " ".join(text.partition("\n\n")[0].split()),
            100,
            initial_indent=f"  {name}".ljust(column),
            subsequent_indent=" " * column,
        )
        for name, text in texts.items()
    )
