"""Colors by ICC profiles, against the arithmetic of their primaries and curves."""

import io
import struct

import numpy as np
import PIL.Image
import pytest
from PIL import ImageCms

from dfm_flax.data.decoding import decode

RNG = np.random.default_rng(0)
WHITE = np.array([0.9642, 1.0, 0.8249])  # D50, of all profiles
SRGB = np.array(  # of linear sRGB to XYZ under D50, by Bruce Lindbloom
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)
P3 = np.array(  # of linear Display P3
    [
        [0.5151187, 0.2919778, 0.1571035],
        [0.2411892, 0.6922441, 0.0665668],
        [-0.0010505, 0.0418791, 0.7840713],
    ]
)


def profile(space, matrix=None, gamma=2.2, name="wide"):
    """A profile of ICC's version 2, by the book: primaries and a power as their curve."""

    def fixed(values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + fixed(WHITE),
    }
    if matrix is None:
        tags[b"kTRC"] = curve
    else:
        tags |= {
            b"%cXYZ" % color: b"XYZ " + bytes(4) + fixed(column)
            for color, column in zip(b"rgb", matrix.T, strict=True)
        }
        tags |= {b"%cTRC" % color: curve for color in b"rgb"}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += tag + struct.pack(">II", start + len(body), len(content))
        body += content
    size = struct.pack(">I", start + len(body))
    header = size + bytes(4) + b"\x02\x10\0\0" + b"mntr" + space + b"XYZ " + bytes(12) + b"acsp"
    header += bytes(28) + fixed(WHITE) + bytes(48)
    return header + table + body


def encoded(array, icc_profile, image_format="PNG", mode=None):
    image, file = PIL.Image.fromarray(array), io.BytesIO()
    (image.convert(mode) if mode else image).save(file, image_format, icc_profile=icc_profile)
    return file.getvalue()


def srgb_curve(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("alpha", [False, True])
def test_wide_colors_become_srgb(alpha):
    levels = RNG.integers(0, 256, (20, 30, 4 if alpha else 3), np.uint8)
    decoded = decode(encoded(levels, profile(b"RGB ", P3)))
    linear = (levels[..., :3] / 255) ** 2.2 @ (np.linalg.inv(SRGB) @ P3).T
    np.testing.assert_allclose(decoded.samples[..., :3], srgb_curve(linear), atol=2 / 255)
    np.testing.assert_array_equal(decoded.samples[..., 3:] * 255, levels[..., 3:])
    assert np.abs(decoded.samples[..., :3] - levels[..., :3] / 255).max() > 0.1
    assert decoded.notes == ()


def test_colors_of_a_palette_too():
    levels = np.tile(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8), (4, 4, 1))
    decoded = decode(encoded(levels, profile(b"RGB ", P3[:, ::-1]), mode="P"))
    assert decoded.samples[0, 0].argmax() == 2  # red and blue are swapped
    assert decoded.samples[0, 1].argmax() == 1


def test_gray_by_its_curve_stays_gray():
    levels = np.arange(256, dtype=np.uint8)[np.newaxis]
    for icc_profile in (profile(b"GRAY", gamma=1.0), profile(b"RGB ", SRGB, gamma=1.0)):
        decoded = decode(encoded(levels, icc_profile))
        assert decoded.samples.shape == (1, 256, 1)
        np.testing.assert_allclose(
            decoded.samples[..., 0], srgb_curve(levels / 255), atol=1.01 / 255
        )
        assert decoded.notes == ()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_pixels_that_are_srgb_already_keep_their_bits(mode):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    levels = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    with_profile = decode(encoded(levels, srgb, mode=mode))
    without = decode(encoded(levels, None, mode=mode))
    np.testing.assert_array_equal(with_profile.samples, without.samples)
    assert with_profile.notes == ()


@pytest.mark.parametrize(
    ("icc_profile", "said"),
    [
        (b"nonsense", "its color profile is damaged"),
        (profile(b"GRAY"), "its color profile is for GRAY, not for its colors"),
    ],
)
def test_profiles_that_cannot_be_followed_are_told_of(icc_profile, said):
    levels = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    decoded = decode(encoded(levels, icc_profile))
    np.testing.assert_array_equal(decoded.samples * 255, levels)
    (note,) = decoded.notes
    assert note.startswith(said)
    assert note.endswith("its colors are taken as sRGB")


def test_deep_colors_are_not_converted_and_it_is_told():
    levels = RNG.integers(0, 2**16, (5, 7), np.uint16)
    decoded = decode(encoded(levels, profile(b"GRAY", gamma=1.0)))
    np.testing.assert_allclose(decoded.samples[..., 0], levels / 65535, atol=1e-6)
    (note,) = decoded.notes
    assert note.startswith("its color profile (wide) is not applied to more than 8 bits")
