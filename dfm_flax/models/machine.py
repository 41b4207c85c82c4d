"""The machine that a section of a config describes."""

from ml_collections import ConfigDict

from dfm_flax.errors import UsageError, one_line
from dfm_flax.fourier import FourierMachine


def make_machine(config: ConfigDict, channels: int) -> FourierMachine:
    """The machine of a config's `model` section; UsageError if its settings make no sense."""
    try:
        return FourierMachine(channels=channels, **config.model)
    except ValueError as error:
        raise UsageError(f"config.model: {one_line(error)}") from error
