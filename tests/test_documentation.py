"""What README and docs say of folders, files, settings and commands: all of it is there."""

import contextlib
import functools
import io
import pkgutil
import re
import shlex
import tomllib
from pathlib import Path

import pytest

import dfm_flax
from dfm_flax import cli
from dfm_flax.config import flatten, load_config, override
from dfm_flax.errors import UsageError
from dfm_flax.generation.generator import GENERATORS

ROOT = Path(__file__).parents[1]
# docs/how-to/extend.md is run as it is printed, by test_extending.py.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES.remove(ROOT / "docs" / "how-to" / "extend.md")
README, HOUSE = (ROOT / name for name in ("README.md", "docs/explanation/house.md"))


def page_name(page):
    return page.relative_to(ROOT).as_posix()


# How a command line that is one of `dfm` in disguise begins.
DISGUISES = {
    r"python launch/local/train\.py .*? -- ": "dfm train ",
    r"sbatch .*?launch/slurm/train\.sbatch ": "dfm train ",
    r"sbatch .*?launch/slurm/sweep\.sbatch ": "dfm sweep ",
    r"mpirun -n 4 ": "",
    r"for \w+ in [^;]*; do ": "",
}
# Pages that docs/reference_pages.py makes, as the start page names them.
GENERATED = {"reference/api.md", "reference/configs.md", "reference/cli.md"}
PLACEHOLDERS = {"C", "FILE", "CONFIG", "sweeps/NAME", "my_config.py"}


def rows(page, heading):
    """The cells of the first table under a heading of a page."""
    text = page.read_text()
    (section,) = re.findall(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.M | re.S)
    (section,) = re.findall(r"(?:^\|.*\n)+", section, re.M)[:1]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def folders():
    return {
        folder.relative_to(ROOT).as_posix()
        for folder in (ROOT / "dfm_flax").rglob("*")
        if folder.is_dir() and any(file.suffix in (".py", ".cc") for file in folder.iterdir())
    }


def test_the_map_has_every_folder():
    named = [re.findall(r"`([^`]*)`", cells[0])[0] for cells in rows(HOUSE, "The house")]
    assert sorted(named) == sorted(folders())


def test_the_map_is_in_the_order_of_imports():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    floors = [re.split(r" [|:] ", floor) for floor in settings["contracts"][0]["layers"]]
    floor_of = {room: number for number, floor in enumerate(floors) for room in floor}
    rooms = [re.findall(r"`dfm_flax/(\w+)", cells[0])[0] for cells in rows(HOUSE, "The house")]
    assert [floor_of[room] for room in rooms] == sorted(floor_of[room] for room in rooms)


def test_the_table_of_what_is_where_names_what_is_there():
    named = [
        re.findall(r"`([\w/]+/[\w.]+)`", where) for _, where in rows(README, "Where do I change X?")
    ]
    assert all(named)
    assert len(named) >= 12
    for path in (path for paths in named for path in paths):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_paths_and_names_in_a_page_are_there(page):
    text = page.read_text()
    for path in re.findall(r"`((?:dfm_flax|configs|tests|docs|launch)/[\w./*]*)", text):
        assert list(ROOT.glob(path.rstrip("/"))), path
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        if path not in GENERATED:
            assert (page.parent / path).exists(), path
    for room, path in re.findall(r"`(\w+)(/\w+\.py)`", text):
        if f"dfm_flax/{room}" in folders():
            assert (ROOT / "dfm_flax" / f"{room}{path}").exists(), path
    for name in set(re.findall(r"\bdfm_flax(?:\.\w+)+", text)):
        if not name.endswith((".zip", ".cuda")):
            pkgutil.resolve_name(name)


@functools.cache
def settings():
    """All that a config of any task and generator can have, and its sections."""
    schemas = [load_config("base_compression")]
    schemas += [load_config(f"base_generation:{name}") for name in GENERATORS.names()]
    keys = {key for schema in schemas for key in flatten(schema)}
    return keys | {key.rpartition(".")[0] for key in keys if "." in key}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_settings_in_a_page_are_those_of_a_config(page):
    known, text = settings(), page.read_text()
    named = re.findall(r"(?:`|--)config\.(?:grid\.)?([a-z_0-9.]+)", text)
    named += re.findall(r"`((?:model|loss|optimizer|training|data)\.[a-z_0-9.]+)[`=]", text)
    for key in named:
        if key.endswith("json"):  # a file of a run
            continue
        # Sweeps have figures, too.
        assert key.rstrip(".") in known or key.split(".")[0] == "figures", key


def block_commands(page):
    """Command lines of `dfm` in the blocks of a page, without their comments."""
    text = re.sub(r" *\\\n *", " ", page.read_text())
    lines = re.findall(r"^(?: {4,}|\$ )(\S.*)$", text, re.M)
    for block in re.findall(r"^ *```bash\n(.*?)^ *```", text, re.M | re.S):
        lines += [line.strip() for line in block.splitlines()]
    for line in lines:
        for disguise, plain in DISGUISES.items():
            line = re.sub(f"^{disguise}", plain, line)
        if re.match(r"dfm [a-z]", line):
            yield re.split(r";|   +", line)[0]


def inline_commands(page):
    """Those between backticks, which leave out arguments that are not their point."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    yield from (" ".join(found.split()) for found in re.findall(r"`(dfm [a-z][^`]*)`", text))


COMMANDS = [(page, line, True) for page in PAGES for line in block_commands(page)]
COMMANDS += [(page, line, False) for page in PAGES for line in inline_commands(page)]


def parser_of(arguments):
    """The parser of a command, or of its action, and the arguments that are left."""
    parser, rest = cli._parser(), list(arguments)
    while True:
        choices = [action.choices for action in parser._actions if isinstance(action.choices, dict)]
        if not choices or not rest:
            return parser, rest
        assert rest[0] in choices[0], f"there is no {rest[0]}"
        parser = choices[0][rest.pop(0)]


def check(line, whole):
    """Raises AssertionError or UsageError for a command line that would not be understood."""
    line = re.sub(r"\$\w+|\b[NI]\b", "1", line)
    _, *arguments = shlex.split(line, comments=True)
    parser, rest = parser_of(arguments)
    options = [text.partition("=")[0] for text in rest if re.match(r"--?[a-z]", text)]
    settings = [text.removeprefix("--config.") for text in rest if text.startswith("--config.")]
    for option in options:
        known = option in parser._option_string_actions or option.startswith("--config.")
        assert known, f"there is no {option}"
    if whole:
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors):
                parsed, unknown = cli._parser().parse_known_args(arguments)
        except SystemExit:
            raise AssertionError(errors.getvalue()) from None
        assert unknown == [f"--config.{text}" for text in settings]
        assert parsed.takes_overrides or not settings
    if settings or "--config" in rest:
        name = rest[rest.index("--config") + 1]
        if name not in PLACEHOLDERS:
            override(load_config(name), settings)


@pytest.mark.parametrize("line", dict.fromkeys(line for _, line, whole in COMMANDS if whole))
def test_command_lines_are_understood(line):
    check(line, whole=True)


@pytest.mark.parametrize("line", dict.fromkeys(line for _, line, whole in COMMANDS if not whole))
def test_parts_of_command_lines_are_understood(line):
    check(line, whole=False)


def test_there_are_commands_to_check():
    assert len(COMMANDS) > 60
    commands = {shlex.split(line, comments=True)[1] for _, line, _ in COMMANDS}
    own = {module.__name__.rpartition(".")[2] for module in cli._COMMANDS}
    assert commands >= own - {"bench", "configs"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dfm trane --config mnist --workdir runs", "there is no trane"),
        ("dfm data improt mnist FOLDER", "there is no improt"),
        ("dfm train --config mnist --workdirs runs", "there is no --workdirs"),
        ("dfm train --config mnits --workdir runs", "mnits"),
        ("dfm train --config mnist --workdir runs --config.seeds=1,2", "seeds"),
        ("dfm train --config mnist --workdir runs --config.seed=many", "seed"),
        ("dfm sample --workdir runs --num 4", "--out"),
        ("dfm sample --workdir runs --num many --out a.png", "--num"),
    ],
)
def test_a_command_line_that_is_not_understood_is_found(line, message):
    with pytest.raises((AssertionError, UsageError), match=message):
        check(line, whole=True)


def test_readme_shows_the_lines_of_the_package():
    """Which another test runs."""
    (code,) = re.findall(r"(    import dfm_flax as dfm\n.*?)\n\n\w", dfm_flax.__doc__, re.S)
    assert "\n".join(line[4:] for line in code.splitlines()) in README.read_text()
