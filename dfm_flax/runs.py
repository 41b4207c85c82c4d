"""A run's folder: the config it was started with, its input, its results."""

import contextlib
import errno
import fcntl
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from dfm_flax import config as configs
from dfm_flax.errors import UsageError, one_line
from dfm_flax.files import atomic_path, check_writable, local_path

log = logging.getLogger(__name__)

_LOCK = ".lock"  # in the folder of every run

RUN_VERSION = 2  # of what is in a run's folder; dfm_flax 0.1 wrote none

# What tasks and evaluation write beside config.json: where a user has files of these names no run
# starts.
_FILES = ("images.npz", "data.json", "results.json", "evaluation.json")
_FOLDERS = ("reconstructions", "figures", "priors")


class Busy(UsageError):
    """Another process trains in the folder of this run."""


class Run:
    """The folder of a run, `workdir`.

    It holds config.json, checkpoints/, TensorBoard's files and what the task adds. Who
    writes into it does so under `lock`.
    The config is written last when a run starts, so a folder with a config has its input.
    """

    def __init__(self, workdir: str | Path):
        self.folder = local_path(workdir)

    @property
    def config_file(self) -> Path:
        return self.folder / "config.json"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def started(self) -> bool:
        return self.config_file.is_file()

    def config(self) -> ConfigDict:
        """The config that the run was started with.

        Raises:
          UsageError: the folder is no run, or its config is damaged.
        """
        try:
            return read_config(self.config_file)
        except FileNotFoundError:
            raise UsageError(f"{self.folder}: no run here (no config.json)") from None

    def check_same(self, config: ConfigDict) -> None:
        """Raises UsageError, with the difference, if the run was started with another config."""
        changes = configs.difference(self.config(), configs.from_json(configs.to_json(config)))
        if changes:
            raise UsageError(
                f"{self.folder} holds a run with another config ({'; '.join(changes)}); "
                "use the same settings to go on, or another --workdir"
            )

    def check_place(self) -> None:
        """Checks, before any work, that a run can be in this folder.

        Raises:
          UsageError: it cannot be written, or has files of a user's that a run would replace.
        """
        lock = self.folder / _LOCK
        try:
            check_writable(lock)
        except UsageError as error:
            reason = error.__cause__
            raise UsageError(
                f"--workdir {self.folder}: cannot write there: {getattr(reason, 'strerror', error)}"
            ) from error
        if self.started or lock.exists():
            return
        found = [name for name in _FILES + _FOLDERS if (self.folder / name).exists()]
        if found:
            raise UsageError(
                f"--workdir {self.folder}: no run is here, but {found[0]}, which a run would "
                "replace; use another --workdir"
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Makes the folder and keeps other processes from training in it, as long as we live.

        Raises:
          Busy: another process trains there.
          UsageError: the folder cannot be written.
        """
        self.check_place()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / _LOCK).open("w")
        except OSError as error:
            raise UsageError(
                f"--workdir {self.folder}: cannot write there: {error.strerror}"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise Busy(
                        f"--workdir {self.folder}: another process trains there; "
                        "wait for its end, or use another --workdir"
                    ) from error
                log.warning(
                    "%s: no locks on this file system; take care to train here only once at a time",
                    self.folder,
                )
            yield

    def busy(self) -> bool:
        """Whether another process trains here."""
        if (self.folder / _LOCK).exists():
            try:
                with self.lock():
                    pass
            except Busy:
                return True
        return False

    def create(self) -> None:
        """Raises UsageError where no run can start: beside checkpoints of an unknown config."""
        if self.checkpoints.exists():
            raise UsageError(
                f"--workdir {self.folder}: there are checkpoints, but no config.json of their run; "
                "restore it, or use another --workdir"
            )

    def write_config(self, config: ConfigDict) -> None:
        write_config(self.config_file, config)

    def write_results(self, results: Any) -> None:
        self.write_json("results.json", results)

    def write_json(self, name: str, value: Any) -> None:
        with atomic_path(self.folder / name) as path:
            path.write_text(json.dumps(value, indent=2) + "\n")

    def read_json(self, name: str) -> Any:
        """The value of a JSON file of the run; UsageError if it is missing or damaged."""
        file = self.folder / name
        try:
            return json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{file}: cannot be read: {error}") from error


def read_config(file: Path) -> ConfigDict:
    """The config that `write_config` wrote.

    Raises:
      FileNotFoundError: there is no such file.
      UsageError: it is damaged, or of another version of dfm_flax.
    """
    try:
        entries = json.loads(file.read_text())
        if not isinstance(entries, dict):
            raise ValueError("not a config")
        version = entries.get("run_version", 1 if "task" in entries else None)
        if version != RUN_VERSION and isinstance(version, int):
            found = "dfm_flax 0.1" if version == 1 else "a newer dfm_flax"
            raise UsageError(
                f"{file}: of {found} (version {version} of runs, this one reads {RUN_VERSION}); "
                "train again in another --workdir, or use that dfm_flax"
            )
        if version != RUN_VERSION:
            raise ValueError("it does not say of which version it is")
        return configs.from_dict(entries.get("config"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UsageError(f"{file}: cannot be read: {one_line(error)}") from error


def write_config(file: Path, config: ConfigDict) -> None:
    """Writes a config as JSON, with the version of what is beside it."""
    with atomic_path(file) as path:
        entries = {"run_version": RUN_VERSION, "config": config.to_dict()}
        path.write_text(json.dumps(entries, indent=2) + "\n")
