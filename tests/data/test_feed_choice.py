"""What stays on the devices, and what is streamed."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from dfm_flax.data import feed_choice
from dfm_flax.data.feed_choice import budget, check_feed, choose_feed, load_looked_at
from dfm_flax.data.image_sets import load_image_set
from dfm_flax.errors import UsageError


@pytest.fixture
def data(class_folder):
    name = f"folder:{class_folder}"
    place = {"name": name, "split": "train", "data_dir": "", "size": 0}
    return ConfigDict(place | {"feed": "auto", "workers": 0})


def changed(data, **changes):
    return ConfigDict({**data, **changes})


def test_the_budget_decides(data, monkeypatch):
    """20 images of 3,072 bytes."""
    monkeypatch.setattr(feed_choice, "budget", lambda: (20 * 3072, "half a device"))
    choice = choose_feed(data)
    assert (choice.streams, choice.reason) == (False, "0.1 MB are within 0 MB, half a device")
    monkeypatch.setattr(feed_choice, "budget", lambda: (20 * 3072 - 1, "half a device"))
    assert choose_feed(data).streams
    assert "more than" in choose_feed(data).reason
    assert not choose_feed(data, "test").streams
    assert not choose_feed(changed(data, feed="device")).streams
    assert not choose_feed(changed(data, name="digits")).streams


def test_the_budget_is_a_part_of_the_memory():
    size, whose = budget()
    assert 1e6 < size < 1e12
    assert "quarter" in whose


def test_of_a_stream_a_part_is_looked_at(data, monkeypatch):
    data["feed"] = "stream"
    whole = load_image_set(data["name"], "train")
    np.testing.assert_array_equal(load_looked_at(data, "train").images, whole.images)
    monkeypatch.setattr(feed_choice, "_MOST_BYTES", 5 * 3072)
    part = load_looked_at(data, "train")
    np.testing.assert_array_equal(part.images, whole.images[::4])
    np.testing.assert_array_equal(part.labels, whole.labels[::4])


def test_wrong_settings(data):
    with pytest.raises(UsageError, match=r"data.feed='disk' is not one of auto, device, stream"):
        check_feed(changed(data, feed="disk"))
    with pytest.raises(UsageError, match=r"data.workers=-3"):
        check_feed(changed(data, workers=-3))
