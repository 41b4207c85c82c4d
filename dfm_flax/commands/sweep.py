"""Train a grid of settings, seeds and images, and gather one table.

Trains a run for each cell of a grid: the config has, beside what a run needs, a section `grid`
with a list of values for some of its settings, and a cell for each combination. All seeds and
images of a cell are one vmapped step, and so are the cells of compression that differ in numbers
only: learning rates, b1, b2, variances. The same command goes on with a sweep that was stopped
or killed: finished cells are skipped, those under way go on from their newest checkpoints.

The sweeps that ship are those of `dfm configs` that begin with sweeps/, such as
sweeps/figure_5_1. Every entry can be set as --config.SECTION.KEY=VALUE, the grid's too:
--config.grid.model.machine.depth=2,3,4. Going on with other settings is refused.

Over many processes: each takes its part of the cells by --shard, counted from 0, as in a Slurm
array (#SBATCH --array=0-15):
  dfm sweep --config CONFIG --workdir DIR --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT
or all get the same command, and what one trains the others leave to it.

output in WORKDIR: sweep.json, cells/NAME with a run each (see `dfm train --help`), table.csv
  with the results of all finished cells; and what the config's section `figures` asks for, as
  soon as no cell is missing: the same command with other --config.figures.KEY draws again.
"""

import argparse
from typing import TYPE_CHECKING

from dfm_flax.commands.arguments import add_max_pixels, count, path, shard, whole
from dfm_flax.errors import UsageError
from dfm_flax.reports.tables import print_table
from dfm_flax.terminal import printable

if TYPE_CHECKING:
    from dfm_flax.sweeps.folder import Sweep

TAKES_OVERRIDES = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", required=True, metavar="CONFIG", help="a name of `dfm configs`, or a file"
    )
    parser.add_argument("--workdir", required=True, type=path, metavar="DIR")
    parser.add_argument(
        "--together",
        type=count,
        default=16,
        metavar="N",
        help="train up to N cells side by side (default 16; 1: one after the other)",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--cell", type=whole, metavar="I", help="only this cell, counted from 0")
    part.add_argument(
        "--shard", type=shard, metavar="I/N", help="only every N-th cell, from cell I on"
    )
    part.add_argument(
        "--list", action="store_true", help="print the number of cells, and each, and stop"
    )
    add_max_pixels(parser)


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax import config as configs
    from dfm_flax.sweeps import figures, running
    from dfm_flax.sweeps.folder import Sweep
    from dfm_flax.sweeps.summary import summarize

    config = configs.load_config(options.config)
    configs.override(config, overrides)
    sweep = Sweep(config, options.workdir)
    running.check_cells(sweep.cells)
    figures.check_figures(config)
    if options.list:
        sweep.check_same()
        _list(sweep)
        return 0
    cells = sweep.cells
    if options.shard:
        first, parts = options.shard
        cells = cells[first::parts]
    if options.cell is not None:
        if not 0 <= options.cell < len(cells):
            raise UsageError(f"--cell {options.cell}: there are cells 0 to {len(cells) - 1}")
        cells = [cells[options.cell]]
    sweep.start()
    failures = running.run_cells(sweep, cells, options.together)
    sweep.write_table()
    if rows := summarize(sweep):
        print_table(rows)
    print(f"table: {printable(sweep.table)}")
    missing = sweep.missing()
    if missing:
        print(f"missing: {', '.join(cell.name for cell in missing)}")
    if "figures" in config and (not missing or len(cells) == len(sweep.cells)):
        for path in figures.draw_figures(sweep, config.figures):
            print(f"figure: {printable(path)}")
    for name, message in failures.items():
        print(printable(f"failed: {name}: {message}"))
    return 1 if failures else 0


def _list(sweep: "Sweep") -> None:
    missing = sweep.missing()
    print(f"{len(sweep.cells)} cells, {len(sweep.cells) - len(missing)} finished")
    for cell in sweep.cells:
        started = "started" if sweep.run_of(cell).started else "-"
        print(f"{cell.name}  {started if cell in missing else 'finished'}")
