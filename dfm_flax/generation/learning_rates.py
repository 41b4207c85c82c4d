"""The learning rates of a generator's parts, and the optimizer of its table."""

import optax
from ml_collections import ConfigDict

from dfm_flax.errors import UsageError
from dfm_flax.training.optimizers import make_schedule, slowed
from dfm_flax.training.table import TABLE_ADAMS, TableOptimizer


def make_learning_rates(config: ConfigDict) -> dict[str, optax.Schedule]:
    """Those of 'decoder', and of 'encoder' or 'table', whichever gives the latents."""
    num_steps = config.training.num_steps
    learning_rate = make_schedule(config.optimizer, num_steps)
    slow = slowed(learning_rate, config.optimizer.latent_ratios, num_steps)
    return {"decoder": learning_rate, config.model.latents: slow}


def make_table_optimizer(config: ConfigDict) -> TableOptimizer | None:
    """The optimizer of a table's rows; None with an encoder.

    Raises:
      UsageError: there is none of its name, or its settings make no sense.
    """
    optimizer = config.optimizer
    if optimizer.table_adam not in TABLE_ADAMS:
        raise UsageError(
            f"config: optimizer.table_adam={optimizer.table_adam!r} is not one of "
            f"{', '.join(TABLE_ADAMS)}"
        )
    if config.model.latents != "table":
        return None
    learning_rate = make_learning_rates(config)["table"]
    dense = optimizer.table_adam == "dense"
    return TableOptimizer(learning_rate, optimizer.b1, optimizer.b2, dense)
