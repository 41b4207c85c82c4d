"""What the command prints: nothing that is printed can fail, and no name can garble it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


def printable(text: object) -> str:
    r"""A text in one line, with \n, \x1b and the like for what no terminal shows as it is.

    Names of files may have any of them, and bytes that are no text.
    """
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in str(text)
    )


class Output:
    """A stream for text on which printing never raises, so that no work is lost by it.

    Characters that the stream's encoding lacks are written as escapes. After a failure, such as
    a full disk or a reader that has gone, nothing more is written; `failure` says which it was.
    """

    def __init__(self, stream: Any):
        self._stream = stream  # of text; None where the process was started without
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        with self._noting():
            try:
                self._write(text)
            except UnicodeEncodeError as error:
                self._write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        with self._noting():
            if self._stream is not None and self.failure is None:
                self._stream.flush()

    def close(self) -> None:
        """Ends the output: what a stream has not got rid of is dropped, not tried once more."""
        self.flush()
        if self.failure is not None and self._stream is not None:
            with contextlib.suppress(OSError, ValueError):  # streams of no file
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _write(self, text: str) -> None:
        if self._stream is not None and self.failure is None:
            self._stream.write(text)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = error


@contextlib.contextmanager
def outputs() -> Iterator[tuple[Output, Output]]:
    """The standard output and error of the block, as `Output`s."""
    out, err = Output(sys.stdout), Output(sys.stderr)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield out, err
    finally:
        out.close()
        err.close()
