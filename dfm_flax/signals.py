"""Ctrl-C and SIGTERM: the process ends at once, or where a loop has saved its state."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from dfm_flax.files import remove_unfinished


def exit_on_signals() -> None:
    """From now on Ctrl-C and SIGTERM end this process at once, with exit codes 130 and 143.

    What is half written is removed. KeyboardInterrupt would not do: it is lost when it is raised
    inside one of JAX's callbacks, and while threads of Orbax and TensorFlow run, an interpreter
    that shuts down may crash.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    remove_unfinished()
    with contextlib.suppress(Exception):  # it may be the very write that was interrupted
        sys.stdout.flush()
    os.write(2, b"\ndfm: interrupted\n" if number == signal.SIGINT else b"\ndfm: terminated\n")
    os._exit(128 + number)


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """SIGINT and SIGTERM kill this process in the block, where it waits in C for something.

    Python's handlers would wait for that as well. Nothing may be half written then. Signals that
    were ignored stay ignored, and outside the main thread all are somebody else's.
    """
    with _handled_by(signal.SIG_DFL):
        yield


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], signal.Signals | None]]:
    """Turns SIGINT and SIGTERM into a request, the first of which the yielded function returns.

    A second SIGINT acts as it did before; more SIGTERMs do not disturb who is saving. Signals
    that were ignored stay ignored, and outside the main thread all are somebody else's.
    """
    received: list[signal.Signals] = []

    def request(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        signal.signal(signal.SIGINT, previous.get(signal.SIGINT, signal.SIG_IGN))

    with _handled_by(request) as previous:
        yield lambda: received[0] if received else None


@contextlib.contextmanager
def _handled_by(handler: Any) -> Iterator[dict[signal.Signals, Any]]:
    """SIGINT and SIGTERM have this handler in the block; yields those that they had before."""
    previous: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                with contextlib.suppress(ValueError):  # not the main thread
                    previous[number] = signal.signal(number, handler)
        yield previous
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
