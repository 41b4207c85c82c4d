"""Configs: files with `get_config()`, changed on the command line by --config.key=value."""

import ast
import difflib
import importlib.util
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dfm_flax.errors import UsageError, one_line


def load_config(source: str | Path) -> ConfigDict:
    """The config of a Python file, by its `get_config()`, or get_config(text) for `file.py:text`.

    Raises:
      UsageError: there is no such file, it fails, or it defines no `get_config`.
    """
    match = re.fullmatch(r"(.*?\.py):(.*)", str(source))
    file, *arguments = match.groups() if match else [str(source)]
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"config {file}: no such file")
    spec = importlib.util.spec_from_file_location(f"dfm_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"config {file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config(*arguments)
        if not isinstance(config, ConfigDict):
            raise TypeError("get_config() must return an ml_collections.ConfigDict")
        to_json(config)  # a run keeps it so
    # A config is the user's program: whatever it raises is theirs to see.
    except (Exception, SystemExit) as error:
        raise UsageError(f"config {file}: {type(error).__name__}: {one_line(error)}") from error
    return config.lock()


def override(config: ConfigDict, assignments: Iterable[str]) -> None:
    """Sets entries of a config from `key.subkey=value` texts, in place.

    A value is a Python literal of the type that the entry has: text needs no quotes, and
    a tuple can be given as its elements with commas, without brackets.

    Raises:
      UsageError: an unknown key (names the nearest), or a value of another type.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        known = flatten(config)
        if key not in known:
            raise UsageError(
                f"--config.{key}: no such setting{_suggestion(key, known, '--config.')}"
            )
        if not equals:
            raise UsageError(f"--config.{key}: give a value, --config.{key}=VALUE")
        config.update_from_flattened_dict({key: _parse(key, text, known[key])})


def assign(config: ConfigDict, key: str, value: Any, source: str) -> None:
    """Sets the entry `section.key` of a config, in place.

    Args:
      source: where the value is from, for messages.

    Raises:
      UsageError: an unknown key (names the nearest), or a value of another type.
    """
    known = flatten(config)
    if key not in known:
        raise UsageError(f"{source}: {key}: no such setting{_suggestion(key, known)}")
    if not _same_type(value, known[key]):
        raise UsageError(f"{source}: {key}: {value!r} is not {_describe(known[key])}")
    config.update_from_flattened_dict({key: _as_type_of(value, known[key])})


def check(
    config: ConfigDict, source: str | Path, settings: Mapping[str, Any], optional: Mapping[str, Any]
) -> None:
    """Raises UsageError unless a config has all of the settings, and no others but the optional.

    Args:
      source: where the config is from, for messages.
      settings, optional: a value of the right type for each `section.key`.
    """
    known = flatten(config)
    examples = {**settings, **optional}
    for key, value in known.items():
        if key not in examples:
            raise UsageError(f"{source}: {key}: no such setting{_suggestion(key, examples)}")
        if not _same_type(value, examples[key]):
            raise UsageError(f"{source}: {key}={value!r} is not {_describe(examples[key])}")
    missing = [key for key in settings if key not in known]
    if missing:
        raise UsageError(f"{source}: lacks {', '.join(missing)}")


def flatten(config: ConfigDict) -> dict[str, Any]:
    """All entries as `section.key: value`, in the order of the config."""
    entries: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            entries.update({f"{key}.{name}": entry for name, entry in flatten(value).items()})
        else:
            entries[key] = value
    return entries


def to_json(config: ConfigDict) -> str:
    return json.dumps(config.to_dict(), indent=2) + "\n"


def from_json(text: str) -> ConfigDict:
    """The inverse of `to_json`: JSON's lists are tuples here.

    Raises:
      ValueError: the text is no JSON, or not that of a config.
    """

    def tuples(value):
        if isinstance(value, list):
            return tuple(map(tuples, value))
        if isinstance(value, dict):
            return {key: tuples(entry) for key, entry in value.items()}
        return value

    entries = tuples(json.loads(text))
    if not isinstance(entries, dict):
        raise ValueError("not a config")
    return ConfigDict(entries).lock()


def difference(ours: ConfigDict, theirs: ConfigDict) -> list[str]:
    """Entries that differ, each as `key: ours -> theirs`."""
    a, b = flatten(ours), flatten(theirs)
    missing = "(absent)"
    return [
        f"{key}: {a.get(key, missing)} -> {b.get(key, missing)}"
        for key in {**a, **b}
        if key not in a or key not in b or a[key] != b[key]
    ]


def _parse(key: str, text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    if isinstance(default, tuple) and default and all(isinstance(entry, str) for entry in default):
        return tuple(_parse_texts(text))
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise UsageError(f"--config.{key}: {text!r} is not {_describe(default)}") from None
    if isinstance(default, tuple) and not isinstance(value, tuple):
        value = tuple(value) if isinstance(value, list) else (value,)
    if not _same_type(value, default):
        raise UsageError(f"--config.{key}: {text!r} is not {_describe(default)}")
    return _as_type_of(value, default)


def _parse_texts(text: str) -> list[str]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    if isinstance(value, tuple | list) and all(isinstance(entry, str) for entry in value):
        return list(value)
    return [entry for entry in text.split(",") if entry]


def _same_type(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        examples = default or (value[0] if value else None,)
        return isinstance(value, tuple | list) and all(
            _same_type(entry, examples[0]) for entry in value
        )
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, type(default))


def _as_type_of(value: Any, default: Any) -> Any:
    if isinstance(default, tuple) and default:
        return tuple(_as_type_of(entry, default[0]) for entry in value)
    return float(value) if isinstance(default, float) else value


def _describe(default: Any) -> str:
    names = {bool: "True or False", int: "a whole number", float: "a number"}
    if isinstance(default, tuple):
        return f"a list like {','.join(map(str, default)) or '1,2'}"
    return names.get(type(default), f"a {type(default).__name__}")


def _suggestion(key: str, known: Iterable[str], prefix: str = "") -> str:
    known = list(known)
    by_last = {entry.rpartition(".")[2]: entry for entry in known}
    near = difflib.get_close_matches(key, known, n=1)
    near = near or [by_last[n] for n in difflib.get_close_matches(key.rpartition(".")[2], by_last)]
    if near:
        return f"; did you mean {prefix}{near[0]}?"
    return f"; there are {', '.join(known)}"
