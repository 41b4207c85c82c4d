"""Ctrl-C and SIGTERM: the process ends at once, or where a loop has saved its state."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

from dfm_flax.files import remove_unfinished


def exit_on_interrupt() -> None:
    """From now on Ctrl-C ends this process at once, with exit code 130.

    KeyboardInterrupt would not do: it is lost when it is raised inside one of JAX's callbacks,
    and while threads of Orbax and TensorFlow run, an interpreter that shuts down may crash.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    remove_unfinished()
    with contextlib.suppress(Exception):  # it may be the very write that was interrupted
        sys.stdout.flush()
    os.write(2, b"\ndfm: interrupted\n")
    os._exit(128 + number)


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

    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                with contextlib.suppress(ValueError):  # not the main thread
                    previous[number] = signal.signal(number, request)
        yield lambda: received[0] if received else None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
