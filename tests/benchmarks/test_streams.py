"""On a few images, which the benchmark has in both formats."""

import json
import sys

import numpy as np
import pytest

from dfm_flax.benchmarks import streams
from dfm_flax.data.image_sets import open_image_source

NUM, BATCH = 60, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "_DISTINCT", NUM)
        patch.setattr(streams, "_SHARDS", 3)
        streams.make_set(folder, NUM)
    return folder


def names(images):
    return sorted(image.tobytes() for image in images)


def test_both_pipelines_give_the_images_of_the_set(folder):
    """Each once in an epoch."""
    source = open_image_source("benchmark", "train", str(folder / "array_record"))
    expected = names(source[i][0] for i in range(NUM))
    assert len(set(expected)) == NUM
    with streams.streamed(source, BATCH, 0) as read:
        ours = [next(read) for _ in range(NUM // BATCH)]
    assert names(np.concatenate(ours)) == expected
    theirs = streams.tf_data(folder, BATCH)
    assert names(np.concatenate([next(theirs) for _ in range(NUM // BATCH)])) == expected


def test_a_set_that_is_there_is_left_and_one_that_is_not_whole_is_made_anew(folder, monkeypatch):
    monkeypatch.setattr(streams, "_DISTINCT", NUM)
    monkeypatch.setattr(streams, "_SHARDS", 3)
    places = [folder / kind / "benchmark" / "1.0.0" for kind in ("array_record", "tfrecord")]
    times = [(place / "dataset_info.json").stat().st_mtime_ns for place in places]
    (places[1] / "dataset_info.json").unlink()
    streams.make_set(folder, NUM)
    now = [(place / "dataset_info.json").stat().st_mtime_ns for place in places]
    assert now[0] == times[0]
    assert now[1] > times[1]


def test_what_was_measured_is_kept_and_the_rest_goes_on(folder, monkeypatch, capsys):
    calls = []

    def measured(name, found):
        monkeypatch.setattr(streams, name, lambda *arguments: calls.append(name) or found)

    monkeypatch.setattr(sys, "argv", ["streams", str(folder), f"--images={NUM}"])
    (folder / "streams.json").unlink(missing_ok=True)
    measured("epoch", {"images": NUM, "memory": [(0.1, 0.5, 0.25), (2.0, 0.75, 0.25)]})
    measured("waits", [{"step_ms": 25}])
    monkeypatch.setattr(streams, "take_turns", lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        streams.main()
    measured("take_turns", {"turns": {}})
    streams.main()
    assert calls == ["epoch", "waits", "take_turns"]
    assert json.loads((folder / "streams.json").read_text()).keys() == {"epoch", "waits", "turns"}
    assert (folder / "memory.png").stat().st_size
    assert "at most 0.75 GB in this process and 0.25 GB in its workers" in capsys.readouterr().out
