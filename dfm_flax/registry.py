"""Things by name: what this package has, and what a config names by import path."""

import difflib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from dfm_flax.errors import UsageError, one_line

T = TypeVar("T")


class Registry(Generic[T]):
    """What a kind of thing is called: short names, and "module:Name" for the user's own.

    A module is imported when its name is asked for.

    Args:
      kind: what messages call the things, such as "prior".
      entries: the import path "module:Name" of each name.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]):
        self.kind = kind
        self._entries = dict(entries)

    @staticmethod
    def of_folder(kind: str, package: str, base: type[T]) -> "Registry[type[T]]":
        """The registry of a package in which each module defines one class of a kind.

        The name is that of the module; the class is the one defined there that is a `base`.
        So to add a thing is to add a file.
        """
        return _Folder(kind, package, base)

    def names(self) -> list[str]:
        """The short names."""
        return list(self._entries)

    def get(self, name: str) -> T:
        """The thing of a name, or of an import path "module:Name".

        Raises:
          UsageError: there is none (names the nearest), or its module cannot be imported.
        """
        thing: T = import_path(self._entries.get(name, name), self.kind, self._entries)
        return thing


class _Folder(Registry[type[T]]):
    def __init__(self, kind: str, package: str, base: type[T]):
        found = importlib.import_module(package)
        modules = sorted(module.name for module in pkgutil.iter_modules(found.__path__))
        super().__init__(kind, {name: f"{package}.{name}" for name in modules})
        self._base = base

    def get(self, name: str) -> Any:  # what a user names may be anything: callers look
        if name not in self._entries:
            return super().get(name)
        module = importlib.import_module(self._entries[name])
        (thing,) = (
            thing
            for thing in vars(module).values()
            if inspect.isclass(thing)
            and thing.__module__ == module.__name__
            and issubclass(thing, self._base)
        )
        return thing


def is_import_path(text: str) -> bool:
    """Whether a text has the form of an import path "module:Name"; mnist:3.0.1 has not."""
    return re.fullmatch(r"[^\W\d][\w.]*:[^\W\d]\w*", text) is not None


def import_path(path: str, kind: str, names: Iterable[str] = ()) -> Any:
    """What an import path "module:Name" names.

    Args:
      kind: what is looked for, for messages.
      names: short names that would have done as well, for messages.

    Raises:
      UsageError: it is no import path, or cannot be imported.
    """
    module_name, colon, name = path.partition(":")
    if not colon:
        known = ", ".join(names)
        near = difflib.get_close_matches(path, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"{kind} {path!r} is not one of {known}, nor an import path like my_module:Name{hint}"
            if known
            else f"{kind} {path!r} is not an import path like my_module:name"
        )
    try:
        return getattr(importlib.import_module(module_name), name)
    # The module is the user's program: whatever it raises is theirs to see.
    except Exception as error:
        raise UsageError(
            f"{kind} {path!r} cannot be imported: {type(error).__name__}: {one_line(error)}; "
            "is its folder on PYTHONPATH?"
        ) from error
