import errno
import io
import sys

import pytest

from dfm_flax.terminal import Output, outputs, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photo, größer.png", "photo, größer.png"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        (b"caf\xe9".decode(errors="surrogateescape"), r"caf\udce9"),
        (7, "7"),
    ],
)
def test_a_name_is_one_line_of_characters_that_can_be_seen(text, shown):
    assert printable(text) == shown


def test_characters_that_an_encoding_lacks_are_escapes():
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    output = Output(stream)
    print("größer \udce9", file=output, flush=True)
    assert stream.buffer.getvalue() == b"gr\\xf6\\xdfer \\udce9\n"
    assert output.failure is None


class Full(io.StringIO):
    """A disk that is full, or a pipe that nobody reads, as soon as something is to be kept."""

    def __init__(self, number):
        super().__init__()
        self.number, self.tries = number, 0

    def flush(self):
        self.tries += 1
        raise OSError(self.number, "cannot")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
def test_what_cannot_be_written_is_kept_in_mind_and_not_raised(number):
    stream = Full(number)
    output = Output(stream)
    print("first", file=output, flush=True)
    assert output.failure.errno == number
    print("second", file=output, flush=True)
    output.close()
    assert stream.tries == 1


def test_streams_come_back_and_may_be_missing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with outputs() as (out, _):
        print("to nobody", flush=True)
        assert not sys.stdout.isatty()
        assert out.failure is None
    assert sys.stdout is None
