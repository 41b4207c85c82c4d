"""The `dfm` command: parse, call, print."""

import argparse
import inspect
import logging
import sys
from collections.abc import Sequence

from dfm_flax.commands import bench, data, evaluate, interpolate, reconstruct, sample, train
from dfm_flax.errors import DfmError

_COMMANDS = (train, reconstruct, sample, interpolate, evaluate, data, bench)

_DESCRIPTION = """\
Deep Fourier Machines: images as compositions of low-frequency Fourier series.
"""

_EXAMPLES = """\
a first run (an image that ships with scikit-image, about a minute):
  dfm train --config configs/demo.py --workdir runs/demo

your own images, and any setting of the config changed on the way:
  dfm train --config configs/compress_best.py --workdir runs/photo \\
      --config.data.images=photo.jpg,other.png --config.seeds=0,1,2

the same command goes on with a run that was interrupted. Its pictures at twice the size:
  dfm reconstruct --workdir runs/photo --scale 2 --out enlarged

a generator of new images, and samples of it at four times the size:
  dfm train --config configs/digits.py --workdir runs/digits
  dfm sample --workdir runs/digits --size 32 --out samples.png
  dfm evaluate --workdir runs/digits

curves, rates, pictures and speed as it trains:
  tensorboard --logdir runs
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code: 0, 1 for a failed run, 2 for bad usage."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    overrides = [text.removeprefix("--config.") for text in rest if text.startswith("--config.")]
    unknown = [text for text in rest if not text.startswith("--config.")]
    if unknown or (overrides and not options.takes_overrides):
        options.parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
    _configure_logging()
    try:
        return options.run(options, overrides)
    except DfmError as error:
        print(f"dfm: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # disk full, a file taken away while we run
        print(
            f"dfm: {error.filename or 'input/output'}: {error.strerror or error}", file=sys.stderr
        )
        return 1
    except KeyboardInterrupt:
        print("dfm: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _make_parser(
        argparse.ArgumentParser, prog="dfm", description=_DESCRIPTION, epilog=_EXAMPLES
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        name = module.__name__.rpartition(".")[2]
        summary, _, description = (inspect.getdoc(module) or "").partition("\n\n")
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


def _make_parser(make, *args, **kwargs) -> argparse.ArgumentParser:
    return make(
        *args, **kwargs, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _configure_logging() -> None:
    """Shows our messages, clu's metrics and everybody's warnings, above the progress bar."""

    class Handler(logging.Handler):
        def emit(self, record):
            from tqdm import tqdm

            tqdm.write(self.format(record), file=sys.stderr)

    def wanted(record: logging.LogRecord) -> bool:
        # Orbax and clu both log through absl; Orbax tells each of its steps.
        ours = record.name.startswith("dfm_flax") or "metric_writers" in record.pathname
        return ours or record.levelno >= logging.ERROR

    handler = Handler()
    handler.addFilter(wanted)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])


if __name__ == "__main__":
    sys.exit(main())
