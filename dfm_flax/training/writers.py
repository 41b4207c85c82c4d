"""Metric writers of clu: TensorBoard files in the run's folder, and the console's log.

clu needs TensorFlow, which takes seconds to import: import this file only to train.
"""

from pathlib import Path

from dfm_flax import tensorflow_log

tensorflow_log.silence()

from clu import metric_writers  # noqa: E402


def create_writers(folder: Path) -> tuple[metric_writers.MetricWriter, metric_writers.MetricWriter]:
    """A writer to both TensorBoard (files in `folder`) and the log, and one to TensorBoard alone.

    The second is for what is too much to read line by line. Both write in the background;
    closing the first closes all.
    """
    tensorboard = metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(folder)))
    both = metric_writers.MultiWriter([tensorboard, metric_writers.LoggingWriter()])
    return both, tensorboard
