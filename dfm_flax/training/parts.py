"""Parts of a checkpoint, such as the weights without their optimiser's state."""

from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from dfm_flax.errors import UsageError, one_line
from dfm_flax.training.checkpoints import check_model, digest, named_leaves


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
        check_model(checkpoint, template, partial=True)
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
        for name, leaf in named_leaves(parts).items():
            if digest(leaf) != restored.progress["leaves"][name]:
                raise ValueError(f"{name} does not match its digest")
    except UsageError:
        raise
    except Exception as error:  # whatever a broken file makes Orbax raise
        reason = f"{type(error).__name__}: {one_line(error)[:200]}"
        raise UsageError(
            f"{checkpoint}: damaged ({reason}); remove it to use the one before it, or go on "
            "training: `dfm train` sets it aside"
        ) from error
    return parts
