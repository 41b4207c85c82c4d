"""Checkpoints of a run through Orbax: saved in the background, verified when restored."""

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from dfm_flax.errors import DfmError, UsageError

log = logging.getLogger(__name__)

History = list[tuple[int, list[float]]]  # (step, mean loss of each model since the entry before)


class Checkpoints:
    """The checkpoints of one run, `folder/STEP`; the newest `max_to_keep` are kept.

    A checkpoint holds the state, the training curve up to it and a digest of the state, so
    that damage is noticed also where the file system does not tell. Orbax writes it beside
    and renames it: a half-written one is never taken for a checkpoint.
    """

    def __init__(self, folder: Path, max_to_keep: int = 2):
        self._folder = folder.absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=max_to_keep, cleanup_tmp_directories=True, enable_async_checkpointing=True
        )
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def save(self, step: int, state: Any, history: History) -> None:
        """Starts to save a state of NumPy arrays; a save still under way is waited for."""
        if step in self._manager.all_steps():
            return
        # A copy of the history: the caller appends to it while it is written.
        progress = {
            "history": list(history),
            "digest": digest(state),
            "leaves": {name: digest(leaf) for name, leaf in _leaves(state).items()},
        }
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress)
            ),
        )

    def restore_newest(self, template: Any) -> tuple[Any, History] | None:
        """The newest sound checkpoint as (state, history), or None where there is none yet.

        Damaged checkpoints are reported, set aside and passed over.

        Args:
          template: a state of the wanted structure, shapes and dtypes, of NumPy arrays.

        Raises:
          DfmError: there are checkpoints, and none of them can be read.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        damaged = []
        for step in steps:
            try:
                restored = self._restore(step, template)
            except Exception as error:  # whatever a broken file makes Orbax raise
                reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                log.warning(
                    "checkpoint %d is damaged, going on from the one before (%s)", step, reason
                )
                damaged.append(step)
                continue
            self._set_aside(damaged)
            return restored
        if damaged:
            raise DfmError(
                f"{self._folder}: none of the checkpoints {steps} can be read; "
                "restore the folder from a backup, or train into a new --workdir"
            )
        return None

    def newest_step(self) -> int | None:
        return self._manager.latest_step()

    def wait(self) -> None:
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()

    def _restore(self, step: int, template: Any) -> tuple[Any, History]:
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(template), progress=ocp.args.JsonRestore()
            ),
        )
        state = jax.tree.map(np.asarray, restored.state)
        if digest(state) != restored.progress["digest"]:
            raise ValueError("the state does not match its digest")
        return state, [(step, losses) for step, losses in restored.progress["history"]]

    def _set_aside(self, steps: list[int]) -> None:
        """Moves damaged checkpoints out of Orbax's sight: their steps can be saved again."""
        for step in steps:
            target = self._folder.with_name(f"damaged_checkpoint_{step}")
            shutil.rmtree(target, ignore_errors=True)
            (self._folder / str(step)).rename(target)
        if steps:
            self._manager.reload()


def restore_parts(folder: Path, template: dict) -> tuple[int, dict]:
    """Some fields of the state in the newest checkpoint of a run, and its step.

    Nothing else is read, and nothing is changed: the run may be training meanwhile.

    Args:
      template: the wanted fields, or parts of them, as nested dictionaries of arrays.

    Raises:
      UsageError: there is no checkpoint, it is damaged, or it is not of the template's model.
    """
    options = ocp.CheckpointManagerOptions(read_only=True)
    step = None
    if folder.is_dir():
        with ocp.CheckpointManager(folder.absolute(), options=options) as manager:
            step = manager.latest_step()
            if step is not None:
                return step, _restore_parts(manager, folder.absolute() / str(step), template)
    raise UsageError(f"{folder}: no checkpoint yet; train first")


def _restore_parts(manager: ocp.CheckpointManager, checkpoint: Path, template: dict) -> dict:
    try:
        stored = _leaves(ocp.PyTreeCheckpointHandler().metadata(checkpoint / "state").tree)
        for name, leaf in _leaves(template).items():
            shape = tuple(stored[name].shape) if name in stored else "absent"
            if shape != leaf.shape:
                raise UsageError(
                    f"{checkpoint}: a checkpoint of another model: {name} is {shape} there, "
                    f"{leaf.shape} by the run's config"
                )
        restored = manager.restore(
            int(checkpoint.name),
            args=ocp.args.Composite(
                state=ocp.args.PyTreeRestore(
                    item=template,
                    restore_args=ocp.checkpoint_utils.construct_restore_args(template),
                    partial_restore=True,
                ),
                progress=ocp.args.JsonRestore(),
            ),
        )
        parts = jax.tree.map(np.asarray, restored.state)
        for name, leaf in _leaves(parts).items():
            if digest(leaf) != restored.progress["leaves"][name]:
                raise ValueError(f"{name} does not match its digest")
    except UsageError:
        raise
    except Exception as error:  # whatever a broken file makes Orbax raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UsageError(f"{checkpoint}: damaged ({reason})") from error
    return parts


def _leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by names such as 'params/decoder/kernel'."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def digest(state: Any) -> str:
    """SHA-256 over the names, dtypes, shapes and bytes of all leaves."""
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        leaf = np.ascontiguousarray(leaf)
        sha.update(f"{jax.tree_util.keystr(path)}{leaf.dtype}{leaf.shape}".encode())
        sha.update(leaf.tobytes())
    return sha.hexdigest()
