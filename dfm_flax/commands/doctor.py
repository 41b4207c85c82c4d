"""Look at what this machine has for training, and whether it works.

Prints versions, devices, free memory, what evaluates Fourier series, whether a small training
step is the same on all devices as on one, whether processes can sum numbers with each other (by
NCCL between two GPUs, or by gloo), and the data sets that are on the disk. The last line is OK, or
what to do; then the exit code is 1.

Started in each process of a run, with the same --coordinator, --num-processes and --process-id as
`dfm train`, it tells whether they find each other, and whether all their devices agree.
"""

import argparse

from dfm_flax.commands.arguments import add_processes
from dfm_flax.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_processes(parser)
    parser.add_argument(
        "--data-dir", default="", metavar="DIR", help="of TFDS; default ~/tensorflow_datasets"
    )


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax import cluster, doctor

    cures = []
    with cluster.joined(options.coordinator, options.num_processes, options.process_id):
        writes = cluster.is_writer()
        for finding in doctor.examine(options.data_dir):
            if finding.cure:
                cures.append(f"{finding.what}: {finding.cure}")
            if writes:
                print(f"{finding.what:15} {printable(finding.found)}", flush=True)
    if writes:
        print("\n".join(map(printable, cures)) or "OK")
    return 1 if cures else 0
