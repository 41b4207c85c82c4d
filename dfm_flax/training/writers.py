"""Metric writers of clu: TensorBoard files in the run's folder, and the console's log.

clu needs TensorFlow, which takes seconds to import: import this file only to train.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar_summary

from dfm_flax import tensorflow_log
from dfm_flax.config import flatten
from dfm_flax.errors import DfmError, one_line
from dfm_flax.training.charts import Charts

tensorflow_log.silence()

from clu import asynclib, metric_writers, parameter_overview  # noqa: E402


@contextlib.contextmanager
def open_writers(
    folder: Path, name: str | None = None
) -> Iterator[tuple[metric_writers.MetricWriter, metric_writers.MetricWriter]]:
    """A writer to both TensorBoard (files in `folder`) and the log, and one to TensorBoard alone.

    The second is for what is too much to read line by line. Both write in the background.

    Args:
      name: marks the lines of the log, where several runs write.

    Raises:
      DfmError: a file cannot be written, as on a full disk.
    """
    tensorboard = metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(folder)))
    both = metric_writers.MultiWriter([tensorboard, metric_writers.LoggingWriter(name)])
    try:
        with contextlib.closing(both):
            yield both, tensorboard
    except asynclib.AsyncError as error:
        raise DfmError(
            f"{folder}: TensorBoard's files cannot be written ({one_line(error)[:300]}); "
            "the checkpoints are kept. When that is cured, the same command goes on"
        ) from error


def describe(
    writer: metric_writers.MetricWriter,
    config: ConfigDict,
    params: Any,
    layout: Mapping[str, Charts],
) -> None:
    """Writes the hyperparameters of a run, a table of its parameters, and how its curves lie."""
    flat = flatten(config)
    plain = {key: v if isinstance(v, int | float | str) else str(v) for key, v in flat.items()}
    writer.write_hparams(plain)
    overview = parameter_overview.get_parameter_overview(params)
    writer.write_texts(0, {"parameters": "\n".join(f"    {line}" for line in overview.split("\n"))})
    (value,) = custom_scalar_summary.pb(_as_message(layout)).value
    tensor = np.array(value.tensor.string_val[0])
    writer.write_summaries(0, {value.tag: tensor}, {value.tag: value.metadata})


def _as_message(layout: Mapping[str, Charts]) -> layout_pb2.Layout:
    return layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=title,
                chart=[
                    layout_pb2.Chart(
                        title=name, multiline=layout_pb2.MultilineChartContent(tag=tags)
                    )
                    for name, tags in charts.items()
                ],
            )
            for title, charts in layout.items()
        ]
    )
