import re

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfm_flax.cli import main
from dfm_flax.codec import encoder
from dfm_flax.codec.container import read
from dfm_flax.codec.encoder import encode, steps_of
from dfm_flax.codec.goal import Goal
from dfm_flax.codec.plan import plan
from dfm_flax.codec.rounding import Rounding
from dfm_flax.data.images import Image, read_image
from dfm_flax.errors import UsageError
from dfm_flax.metrics.distortion import psnr


@pytest.fixture
def photos(tmp_path):
    """Two pictures in color and one in gray, of 64 x 48 pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    x, y = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 48))
    for i, name in enumerate("abg"):
        colors = [np.sin(5 * x + i) + y, np.cos(4 * y - i * x), x * y * (2 + i)]
        samples = np.stack(colors, -1)
        samples = np.uint8(255 * (samples - samples.min()) / np.ptp(samples))
        picture = PIL.Image.fromarray(samples[..., 0] if name == "g" else samples)
        picture.save(folder / f"{name}.png")
    return folder


@pytest.fixture
def shallow(monkeypatch):
    """Machines of three layers, which compile in half the time."""
    monkeypatch.setattr("dfm_flax.codec.plan._DEPTH", 3)


def image(shape=(40, 50, 3), levels=255):
    return Image(np.zeros(shape, np.float32), levels, "black")


def test_goals_in_bytes():
    assert Goal(bpp=0.4).num_bytes(image()) == 100
    assert Goal(percent=10).num_bytes(image()) == 600
    assert Goal(percent=10).num_bytes(image(levels=65535)) == 1200
    guesses = [Goal(psnr=quality).num_bytes(read_image("sample:coffee")) for quality in (25, 35)]
    assert 2_000 < guesses[0] < guesses[1] / 3 < 100_000


@pytest.mark.parametrize("goal", [{}, {"bpp": 1.0, "psnr": 30.0}, {"bpp": 0.0}, {"psnr": np.inf}])
def test_goals_without_sense(goal):
    with pytest.raises(UsageError, match="give one of"):
        Goal(**goal)


def test_too_small_images_are_named(tmp_path, photos):
    message = r"image a: there is no file of 38 bytes; ask for at least 0\.\d+ bpp"
    for method in (None, "grids", "machine"):
        with pytest.raises(UsageError, match=message):
            encode([str(photos / "a.png")], [tmp_path / "a.dfm"], Goal(bpp=0.1), 10, method=method)
    assert not (tmp_path / "a.dfm").exists()


def test_settings_without_sense(tmp_path, photos):
    for settings, message in (
        ({"effort": 0}, "effort 0: it is a whole number from 1 to 9"),
        ({"effort": 10}, "effort 10"),
        ({"num_steps": 0}, "--steps 0: train for at least 1"),
        ({"method": "wavelets"}, "'wavelets' is not one of grids, machine"),
    ):
        with pytest.raises(UsageError, match=message):
            encode([str(photos / "a.png")], [tmp_path / "a.dfm"], Goal(bpp=1.0), **settings)
    assert not (tmp_path / "a.dfm").exists()


@pytest.mark.parametrize("method", encoder.METHODS)
def test_more_effort_is_more_steps(method):
    steps = [steps_of(method, effort) for effort in range(1, 10)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("unit", ["bpp", "percent"])
def test_headers_tell_of_a_rate_before_a_photo_is_read(tmp_path, photos, unit, monkeypatch):
    monkeypatch.setattr("dfm_flax.codec.encoder.read_image", None)
    told, sources = [], sorted(map(str, photos.iterdir()))
    outs = [tmp_path / f"{i}.dfm" for i in range(3)]
    assert encode(sources, outs, Goal(**{unit: 1e-3}), 10, failed=told.append) == []
    assert [str(error).partition(":")[0] for error in told] == ["image a", "image b", "image g"]
    assert all("there is no file of" in str(error) for error in told)


@given(
    st.sampled_from(encoder.METHODS),
    st.sampled_from(["bpp", "percent"]),
    st.floats(1e-6, 1e6),
    st.integers(1, 8192),
    st.integers(1, 8192),
    st.sampled_from([1, 3]),
    st.sampled_from([255, 65535]),
)
def test_where_a_rate_cannot_be_had_one_that_can_is_named(
    method, unit, rate, height, width, channels, levels
):
    pixels = np.broadcast_to(np.float32(0), (height, width, channels))
    picture = Image(pixels, levels, "black")
    bounds = encoder._bounds(method, picture)
    try:
        Goal(**{unit: rate}).check(picture, *bounds)
    except UsageError as error:
        which, value = re.search(rf"at (least|most) (\S+) {unit}$", str(error)).groups()
        assert (float(value) > rate) == (which == "least")
        rate = float(value)
    num_bytes = Goal(**{unit: rate}).num_bytes(picture)
    assert bounds[0] <= num_bytes <= bounds[1]
    if method == "machine":
        plan(num_bytes, channels, 100)


@pytest.mark.slow
def test_a_folder_at_a_rate(tmp_path, photos, capsys, shallow):
    """Sizes from below; what is said of a file is true of the file."""
    (photos / "g.png").unlink()
    arguments = ["compress", str(photos), "-o", str(tmp_path / "out"), "--bpp=1.2", "--steps=150"]
    assert main(arguments) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in lines[1:]] == [str(tmp_path / "out" / f"{n}.dfm") for n in "ab"]
    assert main(["decompress", str(tmp_path / "out"), "-o", str(tmp_path / "back")]) == 0
    for row in lines[1:]:
        entry = dict(zip(lines[0], row, strict=True))
        name = entry["file"][-5]
        size = (tmp_path / "out" / f"{name}.dfm").stat().st_size
        assert int(entry["bytes"]) == size
        assert 0.95 * 1.2 * 64 * 48 / 8 < size <= 1.2 * 64 * 48 / 8
        original, back = (read_image(p / f"{name}.png") for p in (photos, tmp_path / "back"))
        assert original.pixels.shape == back.pixels.shape
        assert float(entry["psnr"]) == pytest.approx(psnr(original.pixels, back.pixels), abs=0.01)
        assert float(entry["psnr"]) > 22
        assert entry["ms_ssim"] == "-"  # too small for five scales


@pytest.mark.slow
def test_a_file_of_more_bytes_has_grids(tmp_path, photos, capsys):
    """What is said of the file is true of it."""
    out, back = tmp_path / "a.dfm", tmp_path / "a.png"
    arguments = ["compress", str(photos / "a.png"), "-o", str(out), "--bpp=2", "--steps=100"]
    assert main(arguments) == 0
    names, cells = (line.split() for line in capsys.readouterr().out.splitlines())
    entry = dict(zip(names, cells, strict=True))
    assert entry["method"] == "grids"
    assert int(entry["bytes"]) == out.stat().st_size <= 2 * 64 * 48 / 8
    assert main(["decompress", str(out), "-o", str(back)]) == 0
    original, decoded = (read_image(file).pixels for file in (photos / "a.png", back))
    assert float(entry["psnr"]) == pytest.approx(psnr(original, decoded), abs=0.01)
    assert float(entry["psnr"]) > 22


@pytest.mark.slow
def test_a_quality_of_a_gray_image(tmp_path, photos, shallow):
    out = tmp_path / "named.dfm"
    (entry,) = encode([str(photos / "g.png")], [out], Goal(psnr=22.0), 100, method="machine")
    assert entry["reached"]
    assert 22 <= entry["psnr"] < 25  # of 200 weights, some are a dB
    assert read(out).machine.channels == 1


class Unreachable(Rounding):
    """A trained machine that never has the quality, but gets nearer with its size."""

    def __init__(self, coded, quality):
        self.coded, self.quality = coded, quality

    def reaching(self, quality):
        return None

    def within(self, num_bytes):
        return self.coded

    def psnr(self, coded):
        return self.quality


def test_a_quality_out_of_reach_says_so(tmp_path, photos, quantized, monkeypatch, capsys):
    coded, asked = quantized("best", height=48, width=64), []

    def train(batch, *rest):
        asked.append(batch[0].num_bytes)
        return [Unreachable(coded, 20.0 + len(asked))]

    monkeypatch.setattr("dfm_flax.codec.machine_encoder.train_together", train)
    out = tmp_path / "a.dfm"
    for quality, trained in ((23.5, 3), (90, 2), (1e9, 2)):
        asked.clear()
        arguments = ["compress", str(photos / "a.png"), "-o", str(out), f"--psnr={quality:g}"]
        assert main([*arguments, "--method=machine", "--overwrite"]) == 1
        message = f"not the {quality:g} dB asked for; use more --effort"
        assert message in capsys.readouterr().err
        # Larger each time, but never than the raw image.
        assert len(asked) == trained
        assert asked == sorted(set(asked))
        assert asked[-1] <= 64 * 48 * 3
    assert read(tmp_path / "a.dfm").height == 48
