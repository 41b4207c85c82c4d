"""Configs: files with `get_config()`, changed on the command line by --config.key=value."""

import ast
import contextlib
import difflib
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dfm_flax.config_values import as_type_of, describe, parse, same_type
from dfm_flax.errors import UsageError, one_line
from dfm_flax.files import local_path

# Where settings have gone, and values of some of them.
RENAMED: dict[str, tuple[str, ...]] = {
    "seeds": ("seed", "num_seeds"),
    "model.depth": ("model.machine.depth",),
    "model.width": ("model.machine.width",),
    "model.max_frequencies": ("model.machine.max_frequencies",),
    "model.variances": ("model.machine.variances",),
    "model.normalize": ("model.machine.normalize",),
    "model.residual": ("model.machine.residual",),
    "model.extent": ("model.machine.extent",),
    "model.additive": ("model.machine.basis",),
    "model.machine.additive": ("model.machine.basis",),
    "model.initialization": ("model.init",),
    "training.pixels": ("loss.num_pixels",),
    "training.jitter": ("loss.jitter",),
    "training.images_every": ("observe_every",),
}
RENAMED_VALUES: dict[str, dict[str, str]] = {
    "task": {"compress": "compression", "generate": "generation"},
    "model.init": {"plain": "gaussian", "sane": "centered"},
}


def load_config(source: str | Path) -> ConfigDict:
    """The config of a Python file or of one that ships, by its `get_config()`.

    `file.py` and the name of a shipped config, such as `mnist` or `sweeps/figure_5_1`, give
    get_config(); `file.py:text` and `mnist_best:vae` give get_config(text). While a config is
    read its folder is importable, so that it can share code with its neighbors, and so is the
    folder around that.

    Returns:
      A config that is locked: its settings can be changed, but there can be no others.

    Raises:
      UsageError: there is none, it fails, or it defines no `get_config`.
    """
    name, path, arguments = _find(str(source))
    try:
        with _importable(path), _module(path) as module:
            config = module.get_config(*arguments)
        if not isinstance(config, ConfigDict):
            raise TypeError("get_config() must return an ml_collections.ConfigDict")
        to_json(config)  # a run keeps it so
    except UsageError as error:
        raise UsageError(f"config {name}: {error}") from error
    # A config is the user's program: whatever it raises is theirs to see.
    except (Exception, SystemExit) as error:
        raise UsageError(f"config {name}: {type(error).__name__}: {one_line(error)}") from error
    return config.lock()


def shipped_configs() -> dict[str, Path]:
    """The file of each config that ships, by the name that `load_config` takes."""
    inside = Path(__file__).parent / "configs"  # of an installed package
    folder = inside if inside.is_dir() else Path(__file__).parents[1] / "configs"
    files = sorted(folder.rglob("*.py"), key=lambda file: (len(file.parts), file))
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def summary(file: Path) -> str:
    """What a config is, without running it: the first line of its file's docstring."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def override(config: ConfigDict, assignments: Iterable[str]) -> None:
    """Sets entries of a config from `key.subkey=value` texts, in place.

    A value has the type that the entry has, see `config_values.parse`.

    Raises:
      UsageError: an unknown key (names the nearest, or the one that it is now), or a value of
        another type.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        known = flatten(config)
        if key not in known:
            raise UsageError(f"--config.{key}: {_no_such(key, known, '--config.')}")
        if not equals:
            raise UsageError(f"--config.{key}: give a value, --config.{key}=VALUE")
        try:
            value = parse(text, _example(config, key, known[key]))
        except ValueError as error:
            raise UsageError(f"--config.{key}: {error}") from None
        config.update_from_flattened_dict({key: value})


def assign(config: ConfigDict, key: str, value: Any, source: str) -> None:
    """Sets the entry `section.key` of a config, in place.

    Args:
      source: where the value is from, for messages.

    Raises:
      UsageError: an unknown key (names the nearest), or a value of another type.
    """
    known = flatten(config)
    if key not in known:
        raise UsageError(f"{source}: {key}: {_no_such(key, known)}")
    if not same_type(value, known[key]):
        raise UsageError(f"{source}: {key}: {value!r} is not {describe(known[key])}")
    config.update_from_flattened_dict({key: as_type_of(value, known[key])})


def check(config: ConfigDict, source: str | Path, schema: ConfigDict) -> None:
    """Raises UsageError unless a config has the keys of a schema, all of them and no others.

    Args:
      source: where the config is from, for messages.
      schema: has a value of the right type for each key.
    """
    known, examples = flatten(config), flatten(schema)
    for key, value in known.items():
        if key not in examples:
            raise UsageError(f"{source}: {key}: {_no_such(key, examples)}")
        if not same_type(value, examples[key]):
            raise UsageError(f"{source}: {key}={value!r} is not {describe(examples[key])}")
        if isinstance(value, str) and value in (new := RENAMED_VALUES.get(key, {})):
            raise UsageError(f"{source}: {key}={value!r} is now {new[value]!r}")
    missing = [key for key in examples if key not in known]
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
    return from_dict(json.loads(text))


def from_dict(entries: Any) -> ConfigDict:
    """The config of what JSON holds: its lists are tuples here.

    Raises:
      ValueError: it is no dictionary.
    """

    def tuples(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(map(tuples, value))
        if isinstance(value, dict):
            return {key: tuples(entry) for key, entry in value.items()}
        return value

    if not isinstance(entries, dict):
        raise ValueError("not a config")
    return ConfigDict(tuples(entries)).lock()


def difference(ours: ConfigDict, theirs: ConfigDict) -> list[str]:
    """Entries that differ, each as `key: ours -> theirs`."""
    a, b = flatten(ours), flatten(theirs)
    missing = "(absent)"
    return [
        f"{key}: {a.get(key, missing)} -> {b.get(key, missing)}"
        for key in {**a, **b}
        if key not in a or key not in b or a[key] != b[key]
    ]


def _example(config: ConfigDict, key: str, value: Any) -> Any:
    """A value of the type that an entry has; for a placeholder, which has none yet, any of it."""
    if value is not None:
        return value
    *sections, name = key.split(".")
    for section in sections:
        config = config[section]
    try:
        reference = config.get_ref(name)
    except ValueError:  # no placeholder but None itself, which may become anything
        return None
    examples: dict[type, Any] = {int: 0, float: 0.0, str: "", bool: False, tuple: ()}
    return examples.get(reference.get_type())


def _find(source: str) -> tuple[str, Path, list[str]]:
    """What messages call a config, its file, and what `get_config` is called with."""
    match = re.fullmatch(r"(.*?\.py):(.*)", source, re.DOTALL)
    file, *arguments = match.groups() if match else [source]
    if file.endswith(".py"):
        path = local_path(file)
        if not path.is_file():
            near = path.stem in shipped_configs()
            hint = f"; the one that ships is called {path.stem}" if near else ""
            raise UsageError(f"config {file}: no such file{hint}")
        return file, path, arguments
    name, colon, text = source.partition(":")
    shipped = shipped_configs()
    if name not in shipped:
        if Path(source).is_file():
            raise UsageError(f"config {source}: not a Python file, of a name that ends in .py")
        near_names = difflib.get_close_matches(name, shipped, n=1)
        hint = f"did you mean {near_names[0]}?" if near_names else "see `dfm configs`"
        raise UsageError(f"config {name}: no such file, and none of this name ships; {hint}")
    return name, shipped[name], [text] if colon else []


@contextlib.contextmanager
def _importable(path: Path) -> Iterator[None]:
    """Lets a config import its neighbors, and modules of the folder around them.

    What it has imported from there is forgotten afterwards: another config may have neighbors of
    the same name.
    """
    folder = path.resolve().parent
    before, first, last = set(sys.modules), str(folder), str(folder.parent)
    sys.path.insert(0, first)
    sys.path.append(last)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if _is_from(sys.modules[name], folder):
                del sys.modules[name]
        # Ours alone, not equal ones of others; a config may change the path too.
        sys.path[:] = [entry for entry in sys.path if entry is not first and entry is not last]


def _is_from(module: Any, folder: Path) -> bool:
    """Whether a module is a file of a folder, or the folder itself as a package."""
    file = getattr(module, "__file__", None)
    return bool(file and Path(file).parent == folder) or str(folder) in getattr(
        module, "__path__", ()
    )


@contextlib.contextmanager
def _module(path: Path) -> Iterator[Any]:
    """A config's file as a module, executed; dataclasses look it up among the others."""
    name = f"dfm_config_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    outer = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]
        if outer is not None:
            sys.modules[name] = outer


def _no_such(key: str, known: Iterable[str], prefix: str = "") -> str:
    """What is said of a key that is not there: what it is called now, or the nearest."""
    known = list(known)
    section = "grid." if key.startswith("grid.") else ""
    renamed = RENAMED.get(key.removeprefix(section), ())
    if renamed and all(f"{section}{new}" in known for new in renamed):
        return f"is now {' and '.join(f'{prefix}{section}{new}' for new in renamed)}"
    by_last = {entry.rpartition(".")[2]: entry for entry in known}
    near = difflib.get_close_matches(key, known, n=1)
    near = near or [by_last[n] for n in difflib.get_close_matches(key.rpartition(".")[2], by_last)]
    if near:
        return f"no such setting; did you mean {prefix}{near[0]}?"
    return f"no such setting; there are {', '.join(known)}"
