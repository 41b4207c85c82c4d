"""Metric writers of clu: TensorBoard files in the run's folder, and the console's log.

clu needs TensorFlow, which takes seconds to import: import this file only to train.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes about its own build
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from clu import metric_writers


def create_writers(
    folder: Path, name: str | None = None
) -> tuple[metric_writers.MetricWriter, metric_writers.MetricWriter]:
    """A writer to both TensorBoard (files in `folder`) and the log, and one to TensorBoard alone.

    The second is for what is too much to read line by line. Both write in the background;
    closing the first closes all. `name` marks the lines of the log, where several runs write.
    """
    tensorboard = metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(folder)))
    both = metric_writers.MultiWriter([tensorboard, metric_writers.LoggingWriter(name)])
    return both, tensorboard
