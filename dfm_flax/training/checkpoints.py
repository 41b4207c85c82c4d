"""Checkpoints of a run through Orbax: saved in the background, verified when restored."""

import contextlib
import functools
import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp

from dfm_flax import cluster
from dfm_flax.errors import DfmError, UsageError, one_line
from dfm_flax.training.orbax_paths import literal_path
from dfm_flax.training.rows import Rows, digest_of_rows

log = logging.getLogger(__name__)

# The training curve: (step, mean of a metric of each model since the entry before).
History = list[tuple[int, list[float]]]

_LOOKS, _PAUSE_SECONDS = 20, 0.5  # at checkpoints that a training is replacing
_Found = TypeVar("_Found")


class Checkpoints:
    """The checkpoints of one run, `folder/STEP`; the newest `max_to_keep` are kept.

    A checkpoint holds the state, the training curve up to it and digests of both, so that
    damage is noticed also where the file system does not tell. Orbax writes it beside and
    renames it: a half-written one is never taken for a checkpoint. Nothing is touched before
    the first use; with `read_only` nothing ever is, and the run may go on training meanwhile.

    Of several processes one alone saves and restores what each has whole, and the others need not
    see the folder: Orbax is told that the caller is the only one. With `by_all` a state has `Rows`
    in it: all processes call `save`, `restore_newest` and `wait` together, and each writes and
    reads its own part, with its own digests. The folder must be the same for all.

    Raises:
      UsageError: `max_to_keep` is under 1.
    """

    def __init__(
        self,
        folder: Path,
        max_to_keep: int = 2,
        *,
        read_only: bool = False,
        by_all: bool = False,
    ):
        if max_to_keep < 1:
            raise UsageError(f"keep_checkpoints={max_to_keep}: keep 1 or more to be able to go on")
        self._folder = folder.absolute()
        self._max_to_keep, self._read_only, self._by_all = max_to_keep, read_only, by_all

    @functools.cached_property
    def _manager(self) -> ocp.CheckpointManager:
        if not self._read_only:
            self._folder.mkdir(parents=True, exist_ok=True)
        own, num = cluster.place()
        return _opened(
            self._folder,
            None if self._read_only else self._max_to_keep,
            set(range(num)) if self._by_all else {own},
            read_only=self._read_only,
        )

    @functools.cached_property
    def _reader(self) -> ocp.CheckpointManager:
        """What reads on its own: where one process fails, the others must not wait for it."""
        if not self._by_all:
            return self._manager
        return _opened(self._folder, None, {cluster.place()[0]}, read_only=True)

    def save(self, step: int, state: Any, history: History) -> None:
        """Starts to save a state of NumPy arrays and `Rows`; a save still under way is waited for.

        Raises:
          DfmError: this or the save before cannot be written.
        """
        if self._by_all:
            cluster.meet()  # process 0 may have drawn for longer than Orbax waits
        if step in self._manager.all_steps():
            return
        named = named_leaves(state)
        rows = {name: leaf.num for name, leaf in named.items() if isinstance(leaf, Rows)}
        leaves = {name: _digest_of_leaf(leaf, name in rows) for name, leaf in named.items()}
        # A copy of the history: the caller appends to it while it is written.
        progress = {
            "history": list(history),
            "digest": _seal(leaves, rows, history),
            "leaves": leaves,
            "rows": rows,
        }
        arrays = jax.tree.map(lambda leaf: leaf.array() if isinstance(leaf, Rows) else leaf, state)
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.PyTreeSave(arrays), progress=ocp.args.JsonSave(progress)
                ),
            )

    def restore_newest(self, template: Any) -> tuple[Any, History] | None:
        """The newest sound checkpoint as (state, history), or None where there is none yet.

        Damaged checkpoints are reported, set aside (if not `read_only`) and passed over. With
        `read_only` a training may be replacing them meanwhile: what cannot be read is looked at
        again before it counts as damaged.

        Args:
          template: a state of the wanted structure, shapes and dtypes, of NumPy arrays and `Rows`.

        Raises:
          DfmError: there are checkpoints, and none of them can be read.
          UsageError: the newest that can be read has another structure or other shapes.
        """
        if self._by_all:
            check_shared(self._folder)
        if not self._folder.is_dir():
            return None
        if self._read_only:
            restored, damaged = _steady(
                self._folder, lambda: self._look(template), lambda found: not found[1]
            )
        else:
            restored, damaged = self._look(template)
        if restored is None and damaged:
            raise DfmError(
                f"{self._folder}: none of the checkpoints {list(damaged)} can be read "
                f"({next(iter(damaged.values()))}); "
                "restore the folder from a backup, or train into a new --workdir"
            )
        for step, reason in damaged.items() if cluster.is_writer() else ():
            log.warning("checkpoint %d is damaged, going on from the one before (%s)", step, reason)
        self._set_aside(damaged)
        return restored

    def _look(self, template: Any) -> tuple[tuple[Any, History] | None, dict[int, str]]:
        """The newest that can be read, and what is wrong with those after it, by step."""
        damaged: dict[int, str] = {}
        if self._read_only:
            self._reader.reload()
        for step in sorted(self._reader.all_steps(), reverse=True):
            found, reason = None, ""
            try:
                check_model(self._folder / str(step), template)
                found = _restore(self._reader, step, template)
            except UsageError:
                raise
            except Exception as error:  # whatever a broken file makes Orbax raise
                reason = f"{type(error).__name__}: {one_line(error)[:200]}"
            if self._by_all:
                reason = cluster.first_of(reason)
            if found and not reason:
                state, progress = found
                reason = _damage(state, progress)
                if not reason:
                    history = [(at, losses) for at, losses in progress["history"]]
                    return (state, history), damaged
            damaged[step] = reason
        return None, damaged

    def newest_step(self) -> int | None:
        if not self._folder.is_dir():
            return None
        if self._by_all:
            self._reader.reload()  # which does not know what was saved since
        return self._reader.latest_step()

    def wait(self) -> None:
        """Waits for the save under way; raises DfmError if it fails."""
        if "_manager" in self.__dict__:  # or there was none
            with self._writing():
                self._manager.wait_until_finished()

    def close(self) -> None:
        """Ends all that runs in the background; an error that is still unknown raises DfmError."""
        for name in ("_manager", "_reader"):
            if name in self.__dict__:
                with self._writing():
                    self.__dict__[name].close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of the file system, of TensorStore, ..
            if self._by_all and cluster.is_loss(error):
                raise
            raise DfmError(
                f"{self._folder}: a checkpoint cannot be written ({one_line(error)[:200]}); "
                "those before it are kept. When that is cured, the same command goes on"
            ) from error

    def _set_aside(self, steps: Iterable[int]) -> None:
        """Moves damaged checkpoints out of Orbax's sight: their steps can be saved again."""
        if self._read_only:
            return
        if cluster.is_writer() or not self._by_all:
            for step in steps:
                target = self._folder.with_name(f"damaged_checkpoint_{step}")
                shutil.rmtree(target, ignore_errors=True)
                (self._folder / str(step)).rename(target)
        if steps:
            self._reader.reload()


def restore_parts(folder: Path, template: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Some fields of the state in the newest checkpoint of a run, and its step.

    Nothing else is read, and nothing is changed: the run may be training meanwhile.

    Args:
      template: the wanted fields, or parts of them, as nested dictionaries of arrays.

    Raises:
      UsageError: there is no checkpoint, it is damaged, or it is not of the template's model.
    """

    def look() -> tuple[int, dict[str, Any]] | None:
        if not folder.is_dir():
            return None
        options = ocp.CheckpointManagerOptions(read_only=True)
        with ocp.CheckpointManager(literal_path(folder), options=options) as manager:
            steps = sorted(manager.all_steps())
            if not steps:
                return None
            return steps[-1], _restore_parts(manager, folder.absolute(), steps, template)

    found = _steady(folder, look)
    if found is None:
        raise UsageError(f"{folder}: no checkpoint yet; train first")
    return found


def _restore_parts(
    manager: ocp.CheckpointManager, folder: Path, steps: list[int], template: dict[str, Any]
) -> dict[str, Any]:
    """Those of the last of all steps."""
    *older, step = steps
    checkpoint = folder / str(step)
    try:
        check_model(checkpoint, template, partial=True)
        parts, progress = _restore(manager, step, template, partial=True)
        if reason := _damage(parts, progress, partial=True):
            raise ValueError(reason)
    except UsageError:
        raise
    except Exception as error:  # whatever a broken file makes Orbax raise
        reason = f"{type(error).__name__}: {one_line(error)[:200]}"
        cure = (
            f"move it away to use step {older[-1]}, or go on training: `dfm train` sets it aside"
            if older
            else "restore it from a backup, or train into a new --workdir"
        )
        raise UsageError(f"{checkpoint}: damaged ({reason}); {cure}") from error
    return dict(parts)


def _restore(
    manager: ocp.CheckpointManager, step: int, template: Any, *, partial: bool = False
) -> tuple[Any, Any]:
    """A state, or some of it, and the progress beside it, as they are on the disk."""

    def wanted(leaf: Any) -> Any:
        if not isinstance(leaf, Rows):
            return ocp.checkpoint_utils.construct_restore_args(leaf)
        # How many rows are stored beyond the last one depends on who wrote them.
        return ocp.ArrayRestoreArgs(
            dtype=leaf.dtype,
            sharding=leaf.struct.sharding,
            global_shape=leaf.struct.shape,
            strict=False,
        )

    def brought(leaf: Any, stored: Any) -> Any:
        if isinstance(leaf, Rows):
            return leaf.filled(stored)
        stored = np.asarray(stored)
        return stored[: leaf.shape[0]] if leaf.shape else stored

    restored = manager.restore(
        step,
        args=ocp.args.Composite(
            state=ocp.args.PyTreeRestore(
                item=jax.tree.map(
                    lambda leaf: leaf.struct if isinstance(leaf, Rows) else leaf, template
                ),
                restore_args=jax.tree.map(wanted, template),
                partial_restore=partial,
            ),
            progress=ocp.args.JsonRestore(),
        ),
    )
    return jax.tree.map(brought, template, restored.state), restored.progress


def _damage(state: Any, progress: Any, *, partial: bool = False) -> str:
    """What of a state is not as it was saved, or of some of it; "" where all is.

    Of a state with `Rows` all processes ask together, and get the same answer.
    """
    leaves, rows = progress["leaves"], progress.get("rows")
    for name, leaf in named_leaves(state).items():
        if _digest_of_leaf(leaf, name in (rows or ())) != leaves[name]:
            return f"{name} does not match its digest"
    if partial:
        return ""
    history = progress["history"]
    # Without a word of rows it was saved when the digest was still of the bytes themselves.
    found = _digest_of_whole(state, history) if rows is None else _seal(leaves, rows, history)
    return "" if found == progress["digest"] else "it does not match its digest"


def _digest_of_leaf(leaf: Any, by_rows: bool) -> str:
    if by_rows:
        return leaf.digest() if isinstance(leaf, Rows) else digest_of_rows(leaf)
    return _digest_of_whole(leaf)


def _digest_of_whole(state: Any, history: Sequence[Any] = ()) -> str:
    """`digest` of what was saved whole; process 0 gets all `Rows` for that."""
    if not any(isinstance(leaf, Rows) for leaf in jax.tree.leaves(state)):
        return digest(state, history)
    whole = jax.tree.map(lambda leaf: leaf.whole() if isinstance(leaf, Rows) else leaf, state)
    return cluster.first_of(digest(whole, history) if cluster.is_writer() else "")


def _seal(leaves: dict[str, str], rows: dict[str, int], history: Sequence[Any]) -> str:
    """SHA-256 over what tells of a state, and over the curve."""
    told = json.dumps([leaves, rows, list(history)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _opened(
    folder: Path, max_to_keep: int | None, processes: set[int], *, read_only: bool
) -> ocp.CheckpointManager:
    """Orbax on a folder, for all of some processes together."""
    options = ocp.CheckpointManagerOptions(
        max_to_keep=max_to_keep,
        cleanup_tmp_directories=not read_only,
        enable_async_checkpointing=not read_only,
        read_only=read_only,
        create=False,
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=min(processes), active_processes=processes
        ),
    )
    return ocp.CheckpointManager(literal_path(folder), options=options)


def check_shared(folder: Path) -> None:
    """Sees to it that a folder is there, the same for all processes, which ask together.

    Raises:
      UsageError: another process does not see what process 0 writes there.
    """
    if cluster.num_processes() == 1:
        return
    name = np.frombuffer(secrets.token_bytes(8), np.uint8)
    sign = folder / f".{cluster.from_writer(name).tobytes().hex()}"
    if cluster.is_writer():
        folder.mkdir(parents=True, exist_ok=True)
        sign.touch()
    cluster.meet()
    seen = sign.exists()
    all_see = not cluster.largest(not seen)
    if cluster.is_writer():
        sign.unlink()
    if not all_see:
        raise UsageError(
            f"{folder}: not the same folder for all processes, each of which writes a part of a "
            "table that is shared out; use a --workdir that all hosts share"
        )


def _steady(
    folder: Path, look: Callable[[], _Found], whole: Callable[[_Found], bool] = lambda found: True
) -> _Found:
    """What `look` finds in a folder of checkpoints that a training may be replacing meanwhile.

    A failure, or something that is not whole, counts only where the checkpoints are the same from
    before it until a while after: else one was being removed as it was read, and there is a newer.

    Raises:
      UsageError: they are replaced faster than they can be read.
      Exception: what `look` raises.
    """
    for _ in range(_LOOKS):
        before, failure = _listing(folder), None
        try:
            found = look()
            if whole(found):
                return found
        except Exception as error:
            failure = error
        time.sleep(_PAUSE_SECONDS)
        if _listing(folder) == before:
            if failure:
                raise failure
            return found
    raise UsageError(
        f"{folder}: checkpoints are replaced faster than they can be read; try again, or let the "
        "run keep more of them, by training.keep_checkpoints"
    )


def _listing(folder: Path) -> set[tuple[str, int, int]]:
    """The files of all finished checkpoints, with size and time."""
    files = set()
    for parent, folders, names in os.walk(folder):  # which passes over what vanishes
        if parent == str(folder):
            folders[:] = [name for name in folders if name.isdecimal()]
        for name in names:
            with contextlib.suppress(OSError):
                file = os.path.join(parent, name)
                status = os.stat(file)
                files.add((file, status.st_size, status.st_mtime_ns))
    return files


def check_model(checkpoint: Path, template: Any, *, partial: bool = False) -> None:
    """Checks that a checkpoint is of the model that a template is of, by names and shapes.

    Args:
      checkpoint: its folder.
      template: the state, or with `partial` some of it.

    Raises:
      UsageError: it is of another one; says where they differ, and what to do.
      Exception: whatever Orbax raises for a damaged one.
    """
    stored = _shapes(
        ocp.PyTreeCheckpointHandler().metadata(literal_path(checkpoint / "state")).tree
    )
    progress = json.loads((checkpoint / "progress" / "metadata").read_text())
    for name, num in progress.get("rows", {}).items():
        stored[name] = num, *stored[name][1:]
    wanted = _shapes(template)
    for name in wanted if partial else {**wanted, **stored}:
        there, here = (shapes.get(name, "absent") for shapes in (stored, wanted))
        if there != here:
            raise UsageError(
                f"{checkpoint}: a checkpoint of another model: {name} is {there} there, {here} by "
                "the run's config; restore the config.json that it was trained with, or train "
                "into a new --workdir"
            )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = named_leaves(tree).items()
    return {name: tuple(leaf.shape) for name, leaf in leaves if hasattr(leaf, "shape")}


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by names such as 'params/decoder/kernel'."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def digest(state: Any, history: History | Sequence[Any] = ()) -> str:
    """SHA-256 over the names, dtypes, shapes and bytes of all leaves, and over the curve."""
    sha = hashlib.sha256(json.dumps(history).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        leaf = np.ascontiguousarray(leaf)
        sha.update(f"{jax.tree_util.keystr(path)}{leaf.dtype}{leaf.shape}".encode())
        sha.update(leaf.tobytes())
    return sha.hexdigest()
