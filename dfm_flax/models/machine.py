"""The machine that a section of a config describes."""

from ml_collections import ConfigDict

from dfm_flax.errors import UsageError, one_line
from dfm_flax.fourier import FourierMachine


def make_machine(section: ConfigDict, channels: int, arguments: int = 2) -> FourierMachine:
    """The machine of a config's section `model.machine`.

    Raises:
      UsageError: its settings make no sense.
    """
    try:
        return FourierMachine(channels=channels, arguments=arguments, **section)
    except (ValueError, UsageError) as error:
        raise UsageError(f"config.model.machine: {one_line(error)}") from error
