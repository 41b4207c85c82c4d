import numpy as np
import PIL.Image
import pytest

from dfm_flax.cli import main
from dfm_flax.codec.container import read
from dfm_flax.data.images import Image, read_image
from dfm_flax.errors import UsageError
from dfm_flax.metrics.distortion import psnr
from dfm_flax.tasks.encode import Goal, encode


@pytest.fixture
def photos(tmp_path):
    """Two pictures in colour and one in grey, of 64 x 48 pixels."""
    folder = tmp_path / "photos"
    folder.mkdir()
    x, y = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 48))
    for i, name in enumerate("abg"):
        colours = [np.sin(5 * x + i) + y, np.cos(4 * y - i * x), x * y * (2 + i)]
        samples = np.stack(colours, -1)
        samples = np.uint8(255 * (samples - samples.min()) / np.ptp(samples))
        picture = PIL.Image.fromarray(samples[..., 0] if name == "g" else samples)
        picture.save(folder / f"{name}.png")
    return folder


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
    with pytest.raises(UsageError, match="image a: a file of 38 bytes holds no machine"):
        encode([str(photos / "a.png")], tmp_path / "a.dfm", Goal(bpp=0.1), 10)
    assert not (tmp_path / "a.dfm").exists()


@pytest.mark.slow
def test_a_folder_at_a_rate(tmp_path, photos, capsys):
    """Grey and colour; sizes from below; what is said of a file is true of the file."""
    arguments = ["compress", str(photos), "-o", str(tmp_path / "out"), "--bpp=1.2", "--steps=200"]
    assert main(arguments) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in lines[1:]] == [str(tmp_path / "out" / f"{n}.dfm") for n in "abg"]
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
        assert float(entry["psnr"]) > 24
        assert entry["ms_ssim"] == "-"  # too small for five scales


@pytest.mark.slow
def test_a_quality(tmp_path, photos, capsys):
    source, out = str(photos / "a.png"), tmp_path / "a.dfm"
    (entry,) = encode([source], out, Goal(psnr=25.0), 150)
    assert entry["reached"]
    assert 25 <= entry["psnr"] < 26
    arguments = ["compress", source, "-o", str(out), "--psnr=70", "--steps=10"]
    assert main(arguments) == 1
    assert "not the 70 dB asked for" in capsys.readouterr().err
    assert read(out).height == 48


@pytest.mark.slow
def test_an_interrupted_command_goes_on(tmp_path, photos, monkeypatch):
    """The result is that of a run at one go."""
    from dfm_flax.training import loop

    source = str(photos / "a.png")
    encode([source], tmp_path / "whole.dfm", Goal(bpp=1.2), 250)
    checks = iter([None, None, True])  # stops after the second dispatch

    class Stop:
        name = "SIGINT"

        def __radd__(self, other):
            return other + 2

    monkeypatch.setattr(
        loop, "stop_requests", lambda: _Context(lambda: Stop() if next(checks, None) else None)
    )
    with pytest.raises(loop.Interrupted):
        encode([source], tmp_path / "a.dfm", Goal(bpp=1.2), 250, tmp_path / "work")
    assert not (tmp_path / "a.dfm").exists()
    monkeypatch.undo()
    encode([source], tmp_path / "a.dfm", Goal(bpp=1.2), 250, tmp_path / "work")
    assert (tmp_path / "a.dfm").read_bytes() == (tmp_path / "whole.dfm").read_bytes()


class _Context:
    def __init__(self, value):
        self.value = value

    def __enter__(self):
        return self.value

    def __exit__(self, *_):
        return None
