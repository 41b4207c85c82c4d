"""Measure how fast this machine runs Fourier machines, beside other ways to compute them.

Measures speed and prints a table for each case:

  layers      value and gradient of one machine at many positions
  generation  many machines with coefficients of their own at shared positions
  dispatch    small steps of Adam, many a dispatch against a Python loop
  decoding    an image from a machine, against COIN's SIREN
  scaling     cost over positions, width and depth; takes the longest
  accelerator layers of both bases, steps of generators and decoding on a GPU or TPU, in float32
              and with products in bfloat16, as shares of its peak; not run where JAX sees CPUs only

The contenders of a case take turns and the medians count, so ratios hold on a busy machine
too; times do not. `ratio` is a contender's time over ours. PyTorch takes part where it is
installed: pip install -c constraints.txt '.[bench]'. OUT gets speed.json, with all that was
measured and where, and speed.png.
"""

import argparse
from typing import Any

from dfm_flax.commands.arguments import add_out, outputs, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help="default: all but scaling and accelerator"
    )
    parser.add_argument("--rounds", type=whole, default=15, help="for each case (default: 15)")
    add_out(parser, "runs/bench", help="a folder")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax.benchmarks import accelerator, report, speed
    from dfm_flax.benchmarks.textbook import torch_installed
    from dfm_flax.fourier.series import evaluation
    from dfm_flax.reports.tables import print_table

    cases = {**speed.CASES, "accelerator": accelerator.accelerator}
    unknown = [name for name in options.cases if name not in cases]
    if unknown or options.rounds < 1:
        options.parser.error(f"cases are {', '.join(cases)}; --rounds is at least 1")
    chosen = options.cases or [name for name in speed.CASES if name != "scaling"]
    if "accelerator" in chosen and not accelerator.is_there():
        print("accelerator: not run, as JAX sees CPUs only; dfm doctor looks for the reason")
        chosen.remove("accelerator")
        if not chosen:
            return 0
    data, figure = outputs(options).folder(["speed.json", "speed.png"])
    print(f"Fourier series by {evaluation()}")
    if not torch_installed():
        print("PyTorch is not installed: left out")
    rows = []
    for name in chosen:
        found = cases[name](options.rounds)
        print()
        print_table([{key: row.get(key) for key in _columns(found)} for row in found])
        rows += found
        report.write(data, figure, rows)
    print(f"\nwritten: {data} and {figure}")
    return 0


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    left_out = ("case", "fastest", "slowest")
    keys = dict.fromkeys(key for row in rows for key in row if key not in left_out)
    return ["contender", *(key for key in keys if key != "contender")]
