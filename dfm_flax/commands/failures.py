"""What fails of several inputs of a command: each is told at once, and the others are done."""

import contextlib
import sys
from collections.abc import Iterator

from dfm_flax.errors import DfmError
from dfm_flax.terminal import printable


class Failures:
    """The errors of single inputs. That of the only input is raised as any other is."""

    def __init__(self, num_inputs: int):
        self._single = num_inputs == 1
        self._told = False

    @contextlib.contextmanager
    def of_one(self) -> Iterator[None]:
        """Goes on after an error of the block, which is about one input."""
        try:
            yield
        except DfmError as error:
            self.tell(error)

    def tell(self, error: DfmError) -> None:
        """Names what failed, in a line; raises the error if nothing else is to be done."""
        if self._single or error.exit_code not in (1, 2):  # a signal stops all
            raise error
        print(f"dfm: {printable(error)}", file=sys.stderr, flush=True)
        self._told = True

    @property
    def exit_code(self) -> int:
        return 1 if self._told else 0
