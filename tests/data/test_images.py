"""Tests of reading, preparing and writing images: every mode, every error."""

import io
import os
import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import skimage.color
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dfm_flax.data import images
from dfm_flax.data.images import TRANSPARENCY, Image, image_size, prepared_size, write_image
from dfm_flax.errors import UsageError

RNG = np.random.default_rng(0)
SHAPES = [(1, 1), (1, 5000), (5000, 1), (5, 7)]

same_folder = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def samples_of(shape, dtype=np.uint8):
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def saved(path, array, mode=None, **options):
    """An image of `array` saved by Pillow; converted to `mode` before."""
    image = PIL.Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def png_16_bit(array):
    """A 16-bit PNG by the book, row filter "Up" from the second row on: [H, W, 1..4] uint16."""
    height, width, channels = array.shape
    rows = array.astype(">u2").view(np.uint8).reshape(height, -1)
    up = np.vstack([rows[:1], rows[1:] - rows[:-1]])
    scanlines = b"".join(bytes([min(i, 1) * 2]) + row.tobytes() for i, row in enumerate(up))
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    out = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(scanlines)), (b"IEND", b"")):
        out += (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    return out


def read_image(source):
    """What is read, which is what the header promised."""
    image = images.read_image(source)
    header = image_size(source)
    assert (header.height, header.width, header.channels) == image.pixels.shape
    assert header.levels == image.levels
    return image


def prepare(image, *arguments, **named):
    """An image brought to size, which is the size that is told beforehand."""
    prepared = images.prepare(image, *arguments, **named)
    size = prepared_size(image.name, image.pixels.shape[:2], *arguments, **named)
    assert prepared.pixels.shape[:2] == size
    return prepared


def check(image, expected, levels=255, had_alpha=False, notes=()):
    assert image.pixels.dtype == np.float32
    assert image.pixels.shape == expected.shape
    np.testing.assert_allclose(image.pixels, expected, atol=1e-6)
    assert image.levels == levels
    assert image.notes == ((TRANSPARENCY,) if had_alpha else ()) + notes


def one_line(raised):
    message = str(raised.value)
    assert "\n" not in message
    return message


# Reading


@pytest.mark.parametrize("shape", SHAPES)
def test_gray_and_rgb(tmp_path, shape):
    gray, rgb = samples_of(shape), samples_of((*shape, 3))
    check(read_image(saved(tmp_path / "a.png", gray)), gray[..., None] / 255)
    image = read_image(str(saved(tmp_path / "some name.bmp", rgb)))
    check(image, rgb / 255)
    assert image.name == "some name"


def test_one_bit(tmp_path):
    gray = RNG.integers(0, 2, (5, 7)).astype(bool)
    check(read_image(saved(tmp_path / "a.png", gray)), gray[..., None].astype(float))


def test_palette_becomes_rgb(tmp_path):
    image = PIL.Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "L").convert("P")
    image.putpalette([255, 0, 0, 0, 0, 51])
    image.save(tmp_path / "a.png")
    red, blue = [1, 0, 0], [0, 0, 0.2]
    check(read_image(tmp_path / "a.png"), np.array([[red, blue], [blue, red]]))
    image.save(tmp_path / "b.png", transparency=1)
    white = [1, 1, 1]
    check(read_image(tmp_path / "b.png"), np.array([[red, white], [white, red]]), had_alpha=True)


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_composited_over_white(tmp_path, channels):
    samples = samples_of((5, 7, channels))
    samples[0, 0] = 0  # black, yet invisible
    colors, alpha = samples[..., :-1] / 255, samples[..., -1:] / 255
    image = read_image(saved(tmp_path / "a.png", samples))
    check(image, colors * alpha + 1 - alpha, had_alpha=True)
    assert (image.pixels[0, 0] == 1).all()


@pytest.mark.parametrize("channels", [2, 4])
def test_opaque_alpha_does_not_count(tmp_path, channels):
    samples = samples_of((5, 7, channels))
    samples[..., -1] = 255
    check(read_image(saved(tmp_path / "a.png", samples)), samples[..., :-1] / 255)


def test_transparent_color(tmp_path):
    rgb = np.array([[[10, 20, 30], [10, 20, 31]]], np.uint8)
    saved(tmp_path / "a.png", rgb, transparency=(10, 20, 30))
    expected = rgb / 255
    expected[0, 0] = 1
    check(read_image(tmp_path / "a.png"), expected, had_alpha=True)


@pytest.mark.parametrize("mode", ["LA", "PA"])
def test_tiff_with_alpha(tmp_path, mode):
    image = PIL.Image.new("RGBA", (7, 5), (255, 255, 255, 0)).convert(mode)
    image.save(tmp_path / "a.tif")
    with PIL.Image.open(tmp_path / "a.tif") as image:
        assert image.mode == mode
    expected = np.ones((5, 7, 1 if mode == "LA" else 3))
    check(read_image(tmp_path / "a.tif"), expected, had_alpha=True)


def test_premultiplied_alpha(tmp_path):
    rgba = np.broadcast_to(np.array([100, 50, 0, 128], np.uint8), (5, 7, 4))
    tifffile.imwrite(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=["assocalpha"])
    image = read_image(tmp_path / "a.tif")
    assert TRANSPARENCY in image.notes
    np.testing.assert_allclose(image.pixels, (rgba[..., :3] + 127.0) / 255, atol=1 / 255)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("shape", SHAPES)
def test_16_bit_gray(tmp_path, suffix, shape):
    gray = samples_of(shape, np.uint16)
    image = read_image(saved(tmp_path / f"a{suffix}", gray))
    check(image, gray[..., None] / 65535, levels=65535)


@pytest.mark.parametrize("shape", SHAPES)
def test_16_bit_rgb_png(tmp_path, shape):
    rgb = samples_of((*shape, 3), np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit(rgb))
    image = read_image(tmp_path / "a.png")
    check(image, rgb / 65535, levels=65535)
    assert np.array_equal(np.rint(image.pixels * 65535), rgb)


def test_16_bit_alpha_png(tmp_path):
    rgba = samples_of((5, 7, 4), np.uint16)
    (tmp_path / "a.png").write_bytes(png_16_bit(rgba))
    alpha = rgba[..., 3:] / 65535
    expected = rgba[..., :3] / 65535 * alpha + 1 - alpha
    check(read_image(tmp_path / "a.png"), expected, levels=65535, had_alpha=True)
    (tmp_path / "b.png").write_bytes(png_16_bit(rgba[..., :2]))
    gray, alpha = rgba[..., :1] // 256 / 255, rgba[..., 1:2] // 256 / 255  # Pillow's 8 bits
    image = read_image(tmp_path / "b.png")
    check(replace(image, notes=image.notes[1:]), gray * alpha + 1 - alpha, had_alpha=True)
    assert image.notes[0] == "its 16 bits a sample are read as 8"


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_16_bit_rgb_tiff(tmp_path, byteorder, compression):
    rgb = samples_of((50, 70, 3), np.uint16)
    options = {"photometric": "rgb", "byteorder": byteorder, "compression": compression}
    tifffile.imwrite(tmp_path / "a.tif", rgb, rowsperstrip=8, **options)
    check(read_image(tmp_path / "a.tif"), rgb / 65535, levels=65535)


def test_16_bit_planes_that_pillow_misreads_are_refused(tmp_path):
    planes = samples_of((3, 5, 7), np.uint16)
    options = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "a.tif", planes, **options)
    with pytest.raises(UsageError, match="separate planes"):
        read_image(tmp_path / "a.tif")
    planes = samples_of((3, 5, 7))
    tifffile.imwrite(tmp_path / "b.tif", planes, **options)
    check(read_image(tmp_path / "b.tif"), planes.transpose(1, 2, 0) / 255)


def test_32_bit_integers(tmp_path):
    gray = np.array([[0, 1], [1000, 65535]], np.int32)
    image = read_image(saved(tmp_path / "a.tif", gray))
    check(image, gray[..., None] / 65535, levels=65535)
    for wrong in (-1, 65536):
        with pytest.raises(UsageError, match="between 0 and 65535"):
            read_image(saved(tmp_path / "b.tif", np.full((2, 2), wrong, np.int32)))


def test_float(tmp_path):
    gray = RNG.random((5, 7), np.float32)
    check(read_image(saved(tmp_path / "a.tif", gray)), gray[..., None], levels=65535)
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(UsageError, match="between 0 and 1"):
            read_image(saved(tmp_path / "b.tif", np.full((2, 2), wrong, np.float32)))


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", ".tif"), ("CMYK", ".jpg"), ("YCbCr", ".jpg"), ("LAB", ".tif")]
)
def test_other_color_spaces_become_rgb(tmp_path, mode, suffix):
    rgb = np.broadcast_to(np.array([200, 100, 50], np.uint8), (16, 16, 3))
    if mode == "LAB":
        lightness, a, b = skimage.color.rgb2lab(rgb)[0, 0]
        color = (round(lightness * 2.55), round(a) + 128, round(b) + 128)
        image = PIL.Image.new("LAB", (16, 16), color)
        image.save(tmp_path / f"a{suffix}")
    else:
        saved(tmp_path / f"a{suffix}", rgb, mode)
    with PIL.Image.open(tmp_path / f"a{suffix}") as image:
        assert image.mode == ("RGB" if mode == "YCbCr" else mode)
    image = read_image(tmp_path / f"a{suffix}")
    assert image.pixels.shape == (16, 16, 3)
    np.testing.assert_allclose(image.pixels, rgb / 255, atol=0.03)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animation_gives_its_first_frame(tmp_path, suffix):
    frames = [PIL.Image.new("RGB", (7, 5), color) for color in ("white", "black", "red")]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], **options)
    notes = ("only the first of its 3 frames is read",)
    check(read_image(tmp_path / f"a{suffix}"), np.ones((5, 7, 3)), notes=notes)


TURNS = {  # by EXIF orientation: what brings the stored array upright
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation(tmp_path, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    rgb = samples_of((5, 7, 3))
    for suffix in (".png", ".tif"):
        saved(tmp_path / f"a{suffix}", rgb, exif=exif)
        check(read_image(tmp_path / f"a{suffix}"), TURNS[orientation](rgb) / 255)
    blocks = np.kron(samples_of((2, 3)), np.ones((16, 16), np.uint8))
    saved(tmp_path / "a.jpg", blocks, exif=exif, quality=100)
    image = read_image(tmp_path / "a.jpg")
    np.testing.assert_allclose(image.pixels[..., 0], TURNS[orientation](blocks) / 255, atol=0.02)


def test_exif_orientation_of_16_bit_rgb(tmp_path):
    rgb = samples_of((5, 7, 3), np.uint16)
    extratags = [(0x0112, "H", 1, 6, True)]
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", extratags=extratags)
    check(read_image(tmp_path / "a.tif"), TURNS[6](rgb) / 65535, levels=65535)


def test_samples():
    image = read_image("sample:astronaut")
    file = Path(skimage.__file__).parent / "data" / "astronaut.png"
    check(image, np.asarray(PIL.Image.open(file)) / 255)
    assert image.name == "astronaut"
    assert read_image("sample:camera").pixels.shape == (512, 512, 1)


def test_unknown_sample():
    with pytest.raises(UsageError) as raised:
        read_image("sample:astronout")
    message = one_line(raised)
    assert "did you mean sample:astronaut?" in message
    assert "coffee" in message
    assert "lfw_subset" not in message
    with pytest.raises(UsageError, match=r"no sample image '\.\./astronaut'"):
        read_image("sample:../astronaut")
    with pytest.raises(UsageError) as raised:
        read_image("sample:")
    assert "did you mean" not in one_line(raised)


# Reading what cannot be read


def jpeg(tmp_path, **options):
    path = saved(tmp_path / "a.jpg", samples_of((64, 64, 3)), **options)
    return path, path.read_bytes()


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UsageError) as raised:
        read_image(tmp_path / "none.png")
    assert one_line(raised) == f"cannot read image {tmp_path}/none.png: No such file or directory"
    with pytest.raises(UsageError, match="Is a directory"):
        read_image(tmp_path)


def test_permission(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", samples_of((2, 2)))
    if os.geteuid() != 0:
        path.chmod(0)
    else:  # root may read anything

        def refuse(self):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UsageError, match="Permission denied"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_no_image(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UsageError) as raised:
        read_image(tmp_path / "a.png")
    assert one_line(raised).endswith("not an image of a known format")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".tif", ".webp", ".qoi"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated(tmp_path, suffix, part):
    path = saved(tmp_path / f"a{suffix}", samples_of((64, 64, 3)))
    read_image(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UsageError, match="cannot read image") as raised:
        read_image(path)
    one_line(raised)


def test_truncated_progressive_jpeg(tmp_path):
    path, content = jpeg(tmp_path, progressive=True)
    path.write_bytes(content[:-40])
    with pytest.raises(UsageError, match="truncated"):
        read_image(path)


@same_folder
@given(data=st.data())
def test_damaged_bytes_give_an_image_or_a_usage_error(tmp_path, data):
    suffix = data.draw(st.sampled_from(["png", "gif", "bmp", "ppm", "tga", "webp"]))
    buffer = io.BytesIO()
    array = np.arange(12 * 9 * 3, dtype=np.uint8).reshape(12, 9, 3)
    PIL.Image.fromarray(array).save(buffer, suffix)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 80) - 1))] = data.draw(
            st.integers(0, 255)
        )
    (tmp_path / "a").write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = read_image(tmp_path / "a")
    except UsageError:
        return
    assert image.pixels.ndim == 3
    assert image.pixels.shape[-1] in (1, 3)


@pytest.mark.parametrize("limit", [99, 30])  # Pillow warns above its limit, refuses above twice
def test_decompression_bomb(tmp_path, monkeypatch, limit):
    path = saved(tmp_path / "a.png", samples_of((10, 10)))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UsageError, match=f"more than {limit} pixels"):
        read_image(path)


def test_what_is_dropped_is_said_once(tmp_path, caplog):
    saved(tmp_path / "a.png", np.zeros((4, 4, 4), np.uint8))
    for _ in range(2):
        read_image(tmp_path / "a.png")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.png'}: transparency is shown over white"
    ]


# Preparing


def image_of(height, width, channels=3):
    pixels = RNG.random((height, width, channels), dtype=np.float32)
    return Image(pixels, levels=65535, name="noise", notes=("seen",))


def test_prepare_keeps_everything_unless_told():
    image = image_of(5, 7)
    prepared = prepare(image)
    assert np.array_equal(prepared.pixels, image.pixels)
    assert (prepared.levels, prepared.name, prepared.notes) == (65535, "noise", ("seen",))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 50), st.sampled_from([1, 3]))
def test_resize_sets_the_shorter_side(height, width, resize, channels):
    pixels = prepare(image_of(height, width, channels), resize).pixels
    assert pixels.dtype == np.float32
    assert min(pixels.shape[:2]) == resize
    assert pixels.shape[2] == channels
    exact = resize * max(height, width) / min(height, width)
    assert abs(max(pixels.shape[:2]) - exact) <= 0.5
    assert (pixels.shape[0] - pixels.shape[1]) * (height - width) >= 0
    assert pixels.min() >= 0
    assert pixels.max() <= 1


def test_resize_is_lanczos_in_float():
    image = image_of(40, 60, 1)
    expected = PIL.Image.fromarray(image.pixels[..., 0]).resize((30, 20), PIL.Image.LANCZOS)
    pixels = prepare(image, 20).pixels
    np.testing.assert_allclose(pixels[..., 0], np.clip(expected, 0, 1), atol=1e-6)
    assert len(np.unique(pixels)) > 500  # more than 8 bits hold
    constant = Image(np.full((9, 9, 3), 0.3, np.float32), 255, "constant")
    np.testing.assert_allclose(prepare(constant, 31).pixels, 0.3, atol=1e-6)


def test_resize_of_channels_is_not_mixed():
    pixels = np.zeros((8, 8, 3), np.float32)
    pixels[..., 1] = 1
    assert np.array_equal(prepare(Image(pixels, 255, "green"), 4).pixels, pixels[:4, :4])


def test_smallest_and_widest_images():
    assert prepare(image_of(1, 1), 8, (8, 8)).pixels.shape == (8, 8, 3)
    assert prepare(image_of(1, 5000), 2).pixels.shape == (2, 10000, 3)
    assert prepare(image_of(5000, 1), 1, (1, 1)).pixels.shape == (1, 1, 3)


def test_resize_beyond_what_would_be_read(monkeypatch):
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10_000)
    assert prepare(image_of(1, 100), 10).pixels.shape == (10, 1000, 3)
    with pytest.raises(UsageError, match=r"data\.resize=11 gives 11 x 1100 pixels"):
        prepare(image_of(1, 100), 11)


def test_crop_is_central():
    image = image_of(10, 13)
    assert np.array_equal(prepare(image, crop=(4, 5)).pixels, image.pixels[3:7, 4:9])
    assert np.array_equal(prepare(image, crop=(10, 13)).pixels, image.pixels)
    assert prepare(image, 20, (20, 26)).pixels.shape == (20, 26, 3)


def test_crop_larger_than_the_image():
    with pytest.raises(UsageError) as raised:
        prepare(image_of(300, 500), crop=(400, 450))
    assert one_line(raised) == (
        "image noise is smaller than the crop: its height of 300 pixels is under 400; "
        "use --config.data.resize=400"
    )
    with pytest.raises(UsageError, match=r"its height of 3 .* and its width of 5 .*resize=8"):
        prepare(image_of(3, 5), crop=(8, 8))


@settings(deadline=None, max_examples=60)
@given(st.tuples(*[st.integers(1, 30)] * 2), st.tuples(*[st.integers(1, 40)] * 2))
def test_proposed_size_is_the_smallest_that_works(size, crop):
    image = image_of(*size, channels=1)
    try:
        prepare(image, crop=crop)
    except UsageError as error:
        proposed = int(str(error).rpartition("=")[2])
        assert prepare(image, proposed, crop).pixels.shape == (*crop, 1)
        exact = max(want / have for want, have in zip(crop, size, strict=True)) * min(size)
        assert proposed - 1 < exact + 1e-9
    else:
        assert all(have >= want for have, want in zip(size, crop, strict=True))


@pytest.mark.parametrize("arguments", [{"resize": -1}, {"crop": (0, 5)}, {"crop": (5, -1)}])
def test_sizes_that_make_no_sense(arguments):
    with pytest.raises(UsageError, match="counted in pixels"):
        prepare(image_of(8, 8), **arguments)


# Writing

SIDES = st.integers(1, 12)
SHAPE = st.tuples(SIDES, SIDES, st.sampled_from([1, 3]))


@same_folder
@given(samples=hnp.arrays(np.uint8, SHAPE), suffix=st.sampled_from([".png", ".bmp", ".tif"]))
def test_8_bit_round_trip(tmp_path, samples, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, (samples / 255).astype(np.float32))
    check(read_image(path), samples / 255)
    write_image(tmp_path / "b.png", read_image(path).pixels)
    assert np.array_equal(
        np.asarray(PIL.Image.open(tmp_path / "b.png")).reshape(samples.shape), samples
    )


@same_folder
@given(samples=hnp.arrays(np.uint16, SHAPE))
def test_16_bit_round_trip(tmp_path, samples):
    path = tmp_path / "a.png"
    write_image(path, (samples / 65535).astype(np.float32), levels=65535)
    image = read_image(path)
    assert image.levels == 65535
    assert np.array_equal(np.rint(image.pixels * 65535), samples)
    if samples.shape[-1] == 1:  # Pillow alone, for what it reads itself
        assert np.array_equal(np.asarray(PIL.Image.open(path)), samples[..., 0])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("levels", [255, 65535])
def test_all_sizes_are_written(tmp_path, shape, channels, levels):
    pixels = RNG.random((*shape, channels))
    write_image(tmp_path / "a.png", pixels, levels)
    image = read_image(tmp_path / "a.png")
    assert image.levels == levels
    np.testing.assert_allclose(image.pixels, pixels, atol=0.5001 / levels)


def test_rounded_to_the_nearest_and_clipped(tmp_path):
    pixels = np.array([-0.5, 0.0, 1.49 / 255, 1.51 / 255, 1.0, 7.0]).reshape(1, 6, 1)
    write_image(tmp_path / "a.png", pixels)
    assert np.asarray(PIL.Image.open(tmp_path / "a.png")).tolist() == [[0, 0, 1, 2, 255, 255]]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp", ".tif", ".gif", ".ppm", ".qoi"])
@pytest.mark.parametrize("levels", [255, 65535])
def test_formats_by_suffix(tmp_path, suffix, levels):
    ramp = np.linspace(0, 1, 32)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp, 0.5), axis=-1)
    write_image(tmp_path / f"a{suffix}", pixels, levels)
    image = read_image(tmp_path / f"a{suffix}")
    assert image.levels == 255
    assert np.mean((image.pixels - pixels) ** 2) < 0.03**2
    assert os.listdir(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize("name", ["a", "a.xyz", "a.psd", "a.png.", ".png"])
def test_unknown_suffix(tmp_path, name):
    with pytest.raises(UsageError, match=r"use an image suffix such as \.png"):
        write_image(tmp_path / name, np.zeros((2, 2, 3)))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a.xbm", "a.h5", "a.webp", "a.msp"])
def test_format_that_cannot_hold_the_image(tmp_path, name):
    with pytest.raises(UsageError, match="cannot write") as raised:
        write_image(tmp_path / name, np.zeros((1, 20000, 3)))
    one_line(raised)
    assert os.listdir(tmp_path) == []


def test_unwritable_place(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_image(tmp_path / "file" / "a.png", np.zeros((2, 2, 3)))


@pytest.mark.parametrize(
    ("pixels", "levels", "message"),
    [
        (np.zeros((2, 2)), 255, "expected finite pixels"),
        (np.zeros((2, 2, 4)), 255, "expected finite pixels"),
        (np.full((2, 2, 3), np.nan), 255, "expected finite pixels"),
        (np.zeros((2, 2, 3)), 256, "levels must be 255 or 65535"),
    ],
)
def test_wrong_arguments(tmp_path, pixels, levels, message):
    with pytest.raises(ValueError, match=message):
        write_image(tmp_path / "a.png", pixels, levels)
