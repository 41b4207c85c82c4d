import re

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar.metadata import CONFIG_SUMMARY_TAG
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util.tensor_util import make_ndarray

from dfm_flax.cli import main
from dfm_flax.config import load_config
from dfm_flax.training.writers import describe, open_writers


def read(folder):
    """What TensorBoard reads: plugin and last value by tag."""
    events = EventAccumulator(str(folder), {TENSORS: 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    plugins = {tag: events.SummaryMetadata(tag).plugin_data.plugin_name for tag in tags}
    return plugins, {tag: make_ndarray(events.Tensors(tag)[-1].tensor_proto) for tag in tags}


def layout_of(values):
    return layout_pb2.Layout.FromString(values[CONFIG_SUMMARY_TAG].item())


def test_a_layout_is_what_its_page_reads(tmp_path):
    layout = {"good": {"error": ["loss", "mse/.*"], "rate": ["lr"]}, "fast": {"speed": ["s"]}}
    with open_writers(tmp_path) as (_, tensorboard):
        describe(tensorboard, load_config("demo"), {"a": np.zeros(3)}, layout)
    plugins, values = read(tmp_path)
    assert plugins[CONFIG_SUMMARY_TAG] == "custom_scalars"
    found = {
        category.title: {chart.title: list(chart.multiline.tag) for chart in category.chart}
        for category in layout_of(values).category
    }
    assert found == layout
    assert "| a " in values["parameters"].item().decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "pictures", "observed"),
    [
        (
            ["--config=demo", "--config.data.resize=200", "--config.data.crop=200,200",
             "--config.observers=reconstructions,distortion", "--config.observe_every=5",
             "--config.training.log_every=5", "--config.training.checkpoint_every=5"],
            ["growing/astronaut_seed0"],
            ["PSNR of whole images, dB", "SSIM and MS-SSIM of whole images"],
        ),
        (
            ["--config=digits", "--config.data.split=train", "--config.observe_every=5",
             "--config.observers=reconstructions,samples,held_out",
             "--config.training.log_every=5", "--config.training.checkpoint_every=5"],
            ["reconstructions", "samples/normal", "samples/gaussian", "samples/gmm", "held_out"],
            ["squared error of held-out images"],
        ),
    ],
    ids=["compression", "generation"],
)  # fmt: skip
def test_the_first_screen_has_curves_and_pictures(arguments, pictures, observed, tmp_path, capsys):
    """The group that comes first has both, and each chart of the layout has its curves."""
    steps = ["--config.training.num_steps=10", "--config.optimizer.warmup_steps=0"]
    assert main(["train", *arguments, *steps, f"--workdir={tmp_path}"]) == 0
    plugins, values = read(tmp_path)
    shown = [tag for tag, plugin in plugins.items() if plugin in ("scalars", "images")]
    first = [tag for tag in shown if tag.startswith(sorted(shown)[0].split("/")[0] + "/")]
    assert plugins["at_a_glance/psnr"] == "scalars"
    assert "at_a_glance/psnr" in first
    for name in pictures:
        assert plugins[f"at_a_glance/{name}"] == "images"
        assert f"at_a_glance/{name}" in first
    curves = [tag for tag, plugin in plugins.items() if plugin == "scalars"]
    charts = {
        chart.title: list(chart.multiline.tag)
        for category in layout_of(values).category
        for chart in category.chart
    }
    assert set(observed) <= set(charts)
    for title, tags in charts.items():
        assert any(re.match(tag, curve) for tag in tags for curve in curves), title
    hparams = plugin_data_pb2.HParamsPluginData.FromString(
        metadata_of(tmp_path, "_hparams_/session_start_info")
    )
    assert hparams.session_start_info.hparams["training.num_steps"].number_value == 10


def metadata_of(folder, tag):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events.SummaryMetadata(tag).plugin_data.content
