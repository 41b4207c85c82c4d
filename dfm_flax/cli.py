"""The `dfm` command: parse, call, print."""

import argparse
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from inspect import getdoc
from typing import Any

from dfm_flax.commands import (
    bench,
    compress,
    configs,
    data,
    decompress,
    doctor,
    evaluate,
    export,
    inspect,
    interpolate,
    reconstruct,
    report,
    sample,
    sweep,
    train,
    view,
)
from dfm_flax.errors import DfmError, one_line
from dfm_flax.signals import exit_on_signals
from dfm_flax.terminal import Output, outputs, printable

_TRACEBACK = "DFM_TRACEBACK"  # an environment variable: where errors are raised and not told

_COMMANDS = (
    train,
    sweep,
    configs,
    reconstruct,
    compress,
    decompress,
    inspect,
    view,
    report,
    sample,
    interpolate,
    export,
    evaluate,
    data,
    doctor,
    bench,
)

_DESCRIPTION = """\
Deep Fourier Machines: images as compositions of low-frequency Fourier series.
"""

_EXAMPLES = """\
a first run (an image that ships with scikit-image, about a minute):
  dfm train --config demo --workdir runs/demo

your own images, and any setting of the config changed on the way:
  dfm train --config compress_best --workdir runs/photo \\
      --config.data.images=photo.jpg,other.png --config.num_seeds=3

the same command goes on with a run that was interrupted. Its pictures at twice the size:
  dfm reconstruct --workdir runs/photo --scale 2 --out enlarged

files of 0.3 bits per pixel, and back to images:
  dfm compress photo.jpg other.png --bpp 0.3 --out coded
  dfm decompress coded --out decoded

a generator of new images, and samples of it at four times the size:
  dfm train --config digits --workdir runs/digits
  dfm sample --workdir runs/digits --size 32 --out samples.png
  dfm evaluate --workdir runs/digits

a grid of depths and widths with five seeds each, one table, and figure 5.1 of the thesis:
  dfm sweep --config sweeps/figure_5_1 --workdir runs/figure_5_1

curves, learning rates, pictures and speed as it trains:
  tensorboard --logdir runs

exit codes: 0, 1 for a run that failed, 2 for wrong usage or input; and after a signal 130
(Ctrl-C) or 75 (SIGTERM): what was trained is saved, and the same command goes on. An error is
one line; with DFM_TRACEBACK=1 it comes with all of Python's
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code, see `dfm --help`.

    Without arguments it is the program of this process: it takes sys.argv, Ctrl-C and SIGTERM.
    """
    if arguments is None:
        exit_on_signals()
        if not os.environ.get(_TRACEBACK):
            # What Python ignores changes nothing, as when a checkpoint that was replaced while it
            # was read is read once more; a traceback of it would alarm.
            sys.unraisablehook = lambda ignored: None
    os.environ["MPLBACKEND"] = "agg"  # pictures are written, whatever a notebook shows them by
    with outputs() as (out, err):
        try:
            code = _run(arguments)
        except SystemExit as stop:  # of argparse
            stop.code = _ended(int(stop.code or 0), out, err)
            raise
        return _ended(code, out, err)


def _ended(code: int, out: Output, err: Output) -> int:
    """The exit code of a command that ends with `code`, if all that it printed could be."""
    out.flush()
    if code or out.failure is None:
        return code
    if isinstance(out.failure, BrokenPipeError):  # the reader has seen enough, as `| head -1`
        return 128 + signal.SIGPIPE
    print(f"dfm: standard output: {out.failure.strerror}", file=err)
    return 1


def _run(arguments: Sequence[str] | None) -> int:
    try:
        parser = _parser()
        options, rest = parser.parse_known_args(arguments)
        overrides = [
            text.removeprefix("--config.") for text in rest if text.startswith("--config.")
        ]
        unknown = [text for text in rest if not text.startswith("--config.")]
        no_value = [text for text in overrides if "=" not in text]
        if no_value and options.takes_overrides:
            options.parser.error(f"write --config.{no_value[0]}=VALUE, with =")
        if unknown or (overrides and not options.takes_overrides):
            options.parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
        _configure_logging()
        sys.path.append("")  # the current folder, for what a config names by import path
        if getattr(options, "max_pixels", None):
            from dfm_flax.data.decoding import allow_pixels

            allow_pixels(options.max_pixels)
        return options.run(options, overrides)
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            raise
        print(f"dfm: {printable(_message(error))}", file=sys.stderr)
        return error.exit_code if isinstance(error, DfmError) else 1


def _message(error: Exception) -> str:
    """What is said of an error: all that input or environment can cause is a line."""
    if isinstance(error, DfmError):
        return str(error)
    text = one_line(error)
    if isinstance(error, OSError):  # disk full, a file taken away while we run
        return f"{error.filename or 'input/output'}: {error.strerror or text}"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return f"not enough memory: {text[:200]}"
    frames = traceback.extract_tb(error.__traceback__)
    if any(frame.filename.endswith("xla_bridge.py") for frame in frames):  # JAX looks for devices
        platforms = os.environ.get("JAX_PLATFORMS")
        asked = f"JAX_PLATFORMS={platforms}: " if platforms else ""
        reason = text[:200] or "there are no such devices"
        return f"{asked}{reason}; use JAX_PLATFORMS=cpu, or unset it to use what there is"
    place = frames[-1]
    return (
        f"{type(error).__name__}: {text[:300]} ({place.filename}:{place.lineno}); "
        f"not foreseen: {_TRACEBACK}=1 tells how it came to this"
    )


def _parser() -> argparse.ArgumentParser:
    parser = _make_parser(
        argparse.ArgumentParser, prog="dfm", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    parser.add_argument("--version", action=_Version, help="print the version and stop")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        name = module.__name__.rpartition(".")[2]
        summary, _, description = (getdoc(module) or "").partition("\n\n")
        made = _make_parser(
            commands.add_parser,
            name,
            help=summary[:1].lower() + summary[1:].rstrip("."),
            description=description,
        )
        made.set_defaults(
            run=module.run,
            parser=made,
            takes_overrides=getattr(module, "TAKES_OVERRIDES", False),
        )
        module.add_arguments(made)
    return parser


class _Version(argparse.Action):
    """Looks for the version only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        from dfm_flax.version import __version__

        print(f"dfm {__version__}")
        parser.exit()


def _make_parser(
    make: Callable[..., argparse.ArgumentParser], *args: Any, **kwargs: Any
) -> argparse.ArgumentParser:
    return make(
        *args, **kwargs, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _configure_logging() -> None:
    """Shows our messages, clu's metrics and everybody's warnings, above the progress bar."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            from tqdm import tqdm

            record.exc_info = record.exc_text = None  # an error that matters is raised as well
            text = self.format(record)
            ours = record.name.startswith("dfm_flax")
            tqdm.write(printable(text) if ours else text, file=sys.stderr)

    def wanted(record: logging.LogRecord) -> bool:
        if record.name in ("asyncio", "concurrent.futures"):  # of work that nobody waits for
            return False
        # Orbax and clu both log through absl; Orbax tells each of its steps.
        ours = record.name.startswith("dfm_flax") or "metric_writers" in record.pathname
        return ours or record.levelno >= logging.ERROR

    handler = Handler()
    handler.addFilter(wanted)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])


if __name__ == "__main__":
    sys.exit(main())
