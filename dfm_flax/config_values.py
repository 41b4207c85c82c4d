"""Values of a config's entries: their types, and how they are written on a command line."""

import ast
import json
import math
from typing import Any

from dfm_flax.errors import UsageError

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def parse(text: str, default: Any) -> Any:
    """The value that a text gives an entry which has a value like `default`.

    A whole number can be written 1e3, a boolean true or 1, and a list as its elements with
    commas, as JSON or in Python's brackets. Texts need no quotes.

    Raises:
      ValueError: the text is of another type; the message says which is wanted.
    """
    if isinstance(default, str):
        return text
    if isinstance(default, bool) and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    value = _parse_list(text, default) if isinstance(default, tuple) else _literal(text)
    if default is None:  # any type will do
        return text if value is None and text != "None" else value
    value = _whole(value, default)
    if not same_type(value, default):
        raise ValueError(f"{text!r} is not {describe(default)}")
    return as_type_of(value, default)


def same_type(value: Any, default: Any) -> bool:
    """Whether an entry that has the value `default` can have this one.

    A whole number is a number too, and entries of a list are like the first of the default.
    An entry without a value, None, or a list without one, takes any.
    """
    if default is None:
        return True
    if isinstance(default, tuple):
        if not isinstance(value, tuple | list):
            return False
        examples = default or tuple(value[:1])
        return all(same_type(entry, examples[0]) for entry in value)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, type(default))


def as_type_of(value: Any, default: Any) -> Any:
    """A value that is of the `same_type`, with whole numbers made floats where those are meant."""
    if isinstance(default, tuple) and default:
        return tuple(as_type_of(entry, default[0]) for entry in value)
    return float(value) if isinstance(default, float) else value


def check_seed(seed: int) -> None:
    """Raises UsageError unless JAX's generators have this seed: of higher ones they see 32 bits."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed {seed}: a seed is from 0 to {2**32 - 1}")


def describe(default: Any) -> str:
    """What a value like this one is called, for messages."""
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    if isinstance(default, tuple):
        return f"a list like {','.join(map(str, default)) or '1,2'}"
    return names.get(type(default), f"a {type(default).__name__}")


def _parse_list(text: str, default: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The list that a text is; None where it is none."""
    value = _json_list(text) if text.startswith("[") else None
    value = _literal(text) if value is None else value
    takes_texts = not default or isinstance(default[0], str)
    if takes_texts and not _is_list_of_texts(value) and (default or value is None):
        return tuple(entry for entry in text.split(",") if entry)
    if value is None:
        return None
    return _tuples(value) if isinstance(value, tuple | list) else (value,)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(entry, str) for entry in value)


def _json_list(text: str) -> list[Any] | None:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, tuple | list) else value


def _whole(value: Any, default: Any) -> Any:
    """1e3 as 1000, where a whole number is meant."""
    if isinstance(value, tuple):
        return tuple(_whole(entry, default[0]) if default else entry for entry in value)
    if isinstance(default, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
