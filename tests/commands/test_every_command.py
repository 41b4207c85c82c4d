"""What holds for all commands, those to come too."""

import argparse
import errno
import io
import sys

import pytest

from dfm_flax import cli
from dfm_flax.commands.arguments import seed
from dfm_flax.errors import UsageError

COMMANDS = {module.__name__.rpartition(".")[2]: module for module in cli._COMMANDS}
each_command = pytest.mark.parametrize("name", COMMANDS)


def parsers(parser):
    """A parser and those of its actions, such as `import` of `dfm data`."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def parser_of(name):
    (commands,) = (
        action
        for action in cli._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return commands.choices[name]


def enough(parser):
    """Arguments that a parser takes: all that are required, with 1 for each."""
    arguments = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            choice, inner = next(iter(action.choices.items()))
            arguments += [choice, *enough(inner)]
        elif action.required:
            arguments += [*action.option_strings[:1], "1"]
    for group in parser._mutually_exclusive_groups:
        if group.required:
            arguments += [*group._group_actions[0].option_strings[:1], "1"]
    return arguments


ERRORS = [
    (UsageError("no such\nthing"), 2, r"dfm: no such\nthing"),
    (OSError(errno.ENOSPC, "No space left on device", "a\x1b.png"), 1, r"dfm: a\x1b.png: No space"),
    (OSError("odd"), 1, "dfm: input/output: odd"),
    (MemoryError("much"), 1, "dfm: not enough memory: much"),
    (KeyError("depth"), 1, "dfm: KeyError: 'depth' ("),
    (RecursionError("deep"), 1, "dfm: RecursionError: deep ("),
    (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "odd"), 1, "dfm: UnicodeDecodeError: "),
]


@each_command
@pytest.mark.parametrize(("error", "code", "line"), ERRORS)
def test_whatever_is_raised_is_one_line(monkeypatch, capsys, name, error, code, line):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(COMMANDS[name], "run", fail)
    assert cli.main([name, *enough(parser_of(name))]) == code
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith(line)


def test_a_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setattr(COMMANDS["configs"], "run", lambda *arguments: 1 / 0)
    monkeypatch.setenv("DFM_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["configs"])


class Broken(io.StringIO):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, "No space left on device")


@each_command
@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EPIPE, 141)])
def test_all_work_is_done_though_nothing_can_be_printed(monkeypatch, capsys, name, number, code):
    done = []

    def work(*arguments):
        for each in range(3):
            print(each, flush=True)
            done.append(each)
        return 0

    monkeypatch.setattr(COMMANDS[name], "run", work)
    monkeypatch.setattr(sys, "stdout", Broken(number))
    assert cli.main([name, *enough(parser_of(name))]) == code
    assert done == [0, 1, 2]
    said = capsys.readouterr().err
    assert said == ("dfm: standard output: No space left on device\n" if code == 1 else "")


@each_command
def test_help_can_be_printed_anywhere(monkeypatch, name):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert b"usage: dfm" in stream.buffer.getvalue()


@each_command
def test_numbers_and_seeds_are_read_alike(name):
    """By our own readers, which take 1e3 and say in words what is wanted."""
    for parser in parsers(parser_of(name)):
        for action in parser._actions:
            assert action.type not in (int, float), action.dest
            assert (action.dest == "seed") == (action.type is seed)
