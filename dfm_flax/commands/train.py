"""Train from a config, or go on with a run.

Trains from a config, or goes on with the run in WORKDIR from its newest checkpoint. Ctrl-C
or SIGTERM make it save a checkpoint and stop.

--config takes a name that `dfm configs` lists, such as compress or mnist_best:vae, or a file of
your own, with get_config(). Every entry can be set as --config.SECTION.KEY=VALUE; the value has
the type that the config gives it, and a list is written with commas or as JSON. --show prints
the settings and stops. The run keeps its config and its input: going on with other settings is
refused.

input: config.data.images takes files of any format that Pillow reads (gray, RGB, palette,
  16-bit; ICC profiles and EXIF rotation are applied, transparency is shown over white), folders,
  for all images in them, and sample:NAME for the images that ship with scikit-image. Names with
  commas are written as JSON, '["a,b.png"]'. resize=N makes the shorter side N pixels, then
  crop=HEIGHT,WIDTH cuts the center; resize=0 and crop=() keep the image as it is. One machine is
  trained for each image and each seed, all side by side.

output in WORKDIR: config.json, images.npz, checkpoints/, TensorBoard files, results.json,
  reconstructions/*.png, and figures/*.png with original, reconstruction, error and curve.
  The table that is printed has means over the seeds, results.json each machine.

several processes, each with devices of its own, train as one run when each is started with
  the same command and --coordinator HOST:PORT --num-processes N --process-id 0..N-1; or with
  --coordinator auto, where Slurm, Open MPI, Kubernetes or a TPU slice tell the rest. WORKDIR is
  process 0's, which alone writes. The batch is shared out over all devices; what is drawn does
  not depend on how many there are. launch/ has scripts for these.

exit codes: 75 wants to be started again, after SIGTERM, when the run is saved, or when another
  process of it died. If that is not noticed at once JAX aborts the process (134) within a minute.
"""

import argparse

from dfm_flax.commands.arguments import add_max_pixels, add_processes, path, whole
from dfm_flax.reports.tables import print_table
from dfm_flax.terminal import printable

TAKES_OVERRIDES = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", required=True, metavar="CONFIG", help="a name of `dfm configs`, or a file"
    )
    parser.add_argument("--workdir", type=path, metavar="DIR", help="folder of the run")
    add_processes(parser)
    parser.add_argument(
        "--profile", type=whole, default=0, metavar="N", help="profile N steps, for TensorBoard"
    )
    parser.add_argument("--show", action="store_true", help="print the settings and stop")
    add_max_pixels(parser)


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    from dfm_flax import config as configs
    from dfm_flax.tasks import task_of

    config = configs.load_config(options.config)
    configs.override(config, overrides)
    if options.show:
        for key, value in configs.flatten(config).items():
            print(f"config.{key} = {value!r}")
        return 0
    if options.workdir is None:
        options.parser.error("the following arguments are required: --workdir")
    if options.profile < 0:
        options.parser.error("--profile takes a number of steps")
    task = task_of(config)
    from dfm_flax import cluster

    with cluster.joined(options.coordinator, options.num_processes, options.process_id):
        if results := task.train(config, options.workdir, options.profile):
            print_table(task.table(results))
            print(printable(task.after(options.workdir)))
    return 0
