import numpy as np
import pytest

from dfm_flax.cli import main
from dfm_flax.codec import api, container, encoder
from dfm_flax.codec.api import Encoded, decode, encode
from dfm_flax.codec.goal import Goal
from dfm_flax.data.images import Image, read_image, write_image
from dfm_flax.errors import UsageError
from dfm_flax.metrics.distortion import psnr


@pytest.fixture
def gradient():
    """A picture of 48 x 40 pixels, with 8 bits."""
    x, y = np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 48))
    pixels = np.stack([x, y, (1 + np.sin(3 * x - 4 * y)) / 2], axis=-1)
    return np.uint8(np.rint(255 * pixels))


@pytest.mark.slow
def test_pixels_to_bytes_and_back(gradient, tmp_path, monkeypatch, capsys):
    """The same file from floats, integers, a file and the command; what is said of it is true."""
    monkeypatch.setattr("dfm_flax.codec.plan._DEPTH", 3)
    coded = encode(gradient, bpp=2.0, num_steps=60, method="machine")
    assert bytes(coded) == coded.data
    assert len(coded) == len(coded.data) <= 2 * 48 * 40 / 8
    assert coded.bpp == pytest.approx(8 * len(coded) / (48 * 40))
    assert coded.reached
    assert coded.ms_ssim is None
    assert "data" not in repr(coded)
    back = decode(coded)
    assert back.dtype == np.float32
    assert psnr(gradient / 255, back) == pytest.approx(coded.psnr)
    assert coded.psnr > 20

    write_image(tmp_path / "image.png", gradient / 255)
    # Files that small are machines anyway.
    assert encode(gradient / 255, bpp=2.0, num_steps=60) == coded
    assert encode(tmp_path / "image.png", bpp=2.0, num_steps=60) == coded
    command = ["compress", f"{tmp_path}/image.png", "-o", f"{tmp_path}/c.dfm", "--bpp=2"]
    assert main([*command, "--steps=60"]) == 0
    assert (tmp_path / "c.dfm").read_bytes() == coded.data
    coded.save(tmp_path / "saved" / "d.dfm")
    for file in (tmp_path / "saved" / "d.dfm", str(tmp_path / "c.dfm"), bytes(coded)):
        np.testing.assert_array_equal(decode(file), back)


@pytest.mark.parametrize(
    ("options", "goal"),
    [({}, {"bpp": 0.3}), ({"psnr": 30.0}, {"psnr": 30.0}), ({"percent": 9.0}, {"percent": 9.0})],
)
def test_what_is_asked_for(gradient, monkeypatch, options, goal):
    def fake(sources, outs, asked, num_steps, workdir, seed, *, effort, method):
        assert isinstance(sources[0], Image)
        assert (asked, num_steps, workdir, seed) == (Goal(**goal), 7, "w", 3)
        assert (effort, method) == (2, "grids")
        outs[0].write_bytes(b"data")
        return [{"bpp": 1.0, "psnr": 2.0, "ms_ssim": None, "weights": 3, "reached": False}]

    monkeypatch.setattr(encoder, "encode", fake)
    coded = encode(gradient, num_steps=7, seed=3, workdir="w", effort=2, method="grids", **options)
    assert coded == Encoded(b"data", 1.0, 2.0, None, 3, False)


def test_bits_of_an_array():
    rng = np.random.default_rng(0)
    for dtype, levels in ((np.uint8, 255), (np.uint16, 65535)):
        samples = rng.integers(0, levels + 1, (4, 5, 3), dtype)
        image = api._as_image(samples)
        assert image.levels == levels
        np.testing.assert_array_equal(np.rint(image.pixels * np.float64(levels)), samples)
    assert api._as_image(rng.random((4, 5, 1))).pixels.dtype == np.float32


@pytest.mark.parametrize("deep", [False, True])
def test_decoding_is_that_of_the_command(quantized, tmp_path, deep):
    image = quantized(levels=65535 if deep else 255)
    container.write(tmp_path / "a.dfm", image)
    data = (tmp_path / "a.dfm").read_bytes()
    np.testing.assert_array_equal(decode(data), image.decoded())
    arguments = ["--scale=2.5", "--region=3,4,20,10"]
    command = ["decompress", f"{tmp_path}/a.dfm", "-o", f"{tmp_path}/a.png", *arguments]
    assert main(command) == 0
    part = decode(tmp_path / "a.dfm", scale=2.5, region=(3, 4, 20, 10))
    np.testing.assert_array_equal(part, read_image(tmp_path / "a.png").pixels)
    assert part.shape == (10, 20, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 5)), r"shape \(4, 5\)"),
        (np.zeros((4, 5, 2)), r"shape \(4, 5, 2\)"),
        (np.zeros((0, 5, 3)), r"shape \(0, 5, 3\)"),
        (np.full((4, 5, 3), 2.0), r"from 2.0 to 2.0: \[0, 1\]"),
        (np.full((4, 5, 3), np.nan), "from nan to nan"),
        (np.zeros((4, 5, 3), int), "an image of int64"),
        ("missing.png", "cannot read image missing.png"),
    ],
)
def test_what_is_no_image(image, message):
    with pytest.raises(UsageError, match=message):
        encode(image, bpp=1.0)


def test_what_is_no_file(tmp_path):
    with pytest.raises(UsageError, match="a folder; give one image"):
        encode(tmp_path)
    with pytest.raises(UsageError, match="give one of"):
        encode(np.zeros((4, 5, 3)), bpp=1.0, psnr=30.0)
    with pytest.raises(UsageError, match=r"cannot read data: it is no \.dfm file"):
        decode(b"no file")
    with pytest.raises(UsageError, match=r"missing\.dfm"):
        decode("missing.dfm")
    for scale in (0, -1, np.nan, np.inf):
        with pytest.raises(UsageError, match=r"a number above 0"):
            decode(b"", scale=scale)


def test_seeds_that_jax_would_take_for_others_are_refused(gradient):
    with pytest.raises(UsageError, match="seed 4294967296"):
        encode(gradient, seed=2**32)
