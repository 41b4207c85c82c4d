"""The `dfm` command: parse, call, print."""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from dfm_flax.errors import DfmError, UsageError

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

curves, rates and speed as it trains:
  tensorboard --logdir runs
"""

_TRAIN = """\
Trains from a config, or goes on with the run in WORKDIR from its newest checkpoint.

Every entry of the config can be set as --config.SECTION.KEY=VALUE; the value has the type
that the config file gives it, and lists are written with commas. --show prints the
settings and stops. The run keeps its config and its input: going on with other settings is
refused.

input: config.data.images takes files of any format that Pillow reads (grey, RGB, palette,
  16-bit; EXIF rotation is applied, transparency is shown over white) and sample:NAME for
  the images that ship with scikit-image. resize=N makes the shorter side N pixels, then
  crop=HEIGHT,WIDTH cuts the centre; resize=0 and crop=() keep the image as it is.

output in WORKDIR: config.json, images.npz, checkpoints/, TensorBoard files, results.json,
  reconstructions/*.png, and figures/*.png with original, reconstruction, error and curve.
"""

_RECONSTRUCT = """\
Renders the machines of a run from its newest checkpoint. A machine is a function of the
position, so any size can be asked for; the default is the size it was trained on.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code: 0, 1 for a failed run, 2 for bad usage."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    overrides = [text.removeprefix("--config.") for text in rest if text.startswith("--config.")]
    unknown = [text for text in rest if not text.startswith("--config.")]
    if unknown or (overrides and options.call is not _train):
        options.parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
    _configure_logging()
    try:
        return options.call(options, overrides)
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

    def command(name, call, summary, description):
        made = _make_parser(commands.add_parser, name, help=summary, description=description)
        made.set_defaults(call=call, parser=made)
        return made

    train = command("train", _train, "train from a config, or go on with a run", _TRAIN)
    train.add_argument(
        "--config", required=True, metavar="FILE", help="Python file with get_config()"
    )
    train.add_argument("--workdir", type=Path, metavar="DIR", help="folder of the run")
    train.add_argument("--show", action="store_true", help="print the settings and stop")

    reconstruct = command(
        "reconstruct", _reconstruct, "render a run's machines at any size", _RECONSTRUCT
    )
    reconstruct.add_argument(
        "--workdir", required=True, type=Path, metavar="DIR", help="folder of the run"
    )
    reconstruct.add_argument(
        "--out", type=Path, metavar="DIR", help="default: WORKDIR/reconstructions"
    )
    size = reconstruct.add_mutually_exclusive_group()
    size.add_argument(
        "--scale", type=_positive, default=1.0, metavar="S", help="relative to training"
    )
    size.add_argument("--size", type=_size, metavar="WIDTHxHEIGHT", help="in pixels")
    return parser


def _make_parser(make, *args, **kwargs):
    return make(
        *args, **kwargs, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def _train(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax import config as configs

    config = configs.load_config(options.config)
    configs.override(config, overrides)
    if options.show:
        for key, value in configs.flatten(config).items():
            print(f"config.{key} = {value!r}")
        return 0
    if options.workdir is None:
        options.parser.error("the following arguments are required: --workdir")
    if config.get("task") != "compress":
        raise UsageError(f"{options.config}: config.task={config.get('task')!r} is not 'compress'")
    from dfm_flax.tasks import compress

    _print_table(compress.train(config, options.workdir))
    print(f"pictures: {options.workdir / 'figures'}")
    return 0


def _reconstruct(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.tasks import compress

    out = options.out or options.workdir / "reconstructions"
    for path in compress.reconstruct(options.workdir, out, options.scale, options.size):
        print(path)
    return 0


def _print_table(results: list[dict]) -> None:
    rows = [list(results[0])]
    rows += [[_format(value) for value in result.values()] for result in results]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([row[0].ljust(len(first)), *others]))


def _format(value) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not (int(match[1]) and int(match[2])):
        raise argparse.ArgumentTypeError(f"{text} is not WIDTHxHEIGHT, like 800x600")
    return int(match[2]), int(match[1])


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
