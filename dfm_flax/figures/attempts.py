"""Figures that may fail alone: what they show is stored by then."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from dfm_flax.errors import one_line

log = logging.getLogger(__name__)


@contextlib.contextmanager
def told_if_not_drawn(file: Path, drawn: list[Path] | None = None) -> Iterator[None]:
    """Goes on after a block that does not draw a file, with a warning that says why.

    Args:
      drawn: gets the file when it is drawn.
    """
    try:
        yield
        if drawn is not None:
            drawn.append(file)
    # Whatever Matplotlib, as a user has set it up, may raise.
    except Exception as error:
        log.warning("no picture %s: %s", file, one_line(error))
