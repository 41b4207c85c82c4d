"""Colors by a file's ICC profile, as sRGB: what a machine learns and what other files show."""

import io
from functools import lru_cache

import numpy as np
import PIL.Image
from jaxtyping import UInt8
from PIL import ImageCms

from dfm_flax.errors import one_line

_SAME = 2  # of 255 levels: profiles of sRGB itself differ by so much, and pixels then stay
_ASSUMED = "its colors are taken as sRGB"


def to_srgb(image: PIL.Image.Image, profile: bytes) -> tuple[PIL.Image.Image, str]:
    """An image's colors in sRGB, where its profile says other; gray stays gray, alpha as it is.

    Args:
      image: of mode L, LA, RGB, RGBA or CMYK.
      profile: of ICC, as embedded in the file.

    Returns:
      The image, the same object if its profile is one of sRGB, with CMYK as RGB; and what is to
      be said where the profile cannot be followed, or "".
    """
    colors = image.mode.removesuffix("A")
    try:
        transform = _transform(profile, colors)
    except _Unfit as error:
        return image, str(error)
    if transform is None:
        return image, ""
    if colors == "L":
        table = np.asarray(transform.apply(_ramp(transform.input_mode)))
        gray = table[0].mean(-1).round().astype(np.uint8)
        converted = image.getchannel("L").point(gray.tolist())
    else:
        converted = transform.apply(image.convert(colors))
    if image.mode != colors:
        converted.putalpha(image.getchannel("A"))
    return converted, ""


def is_srgb(profile: bytes, colors: str) -> tuple[bool, str]:
    """Whether a profile leaves the colors of a mode as they are; and if not, what is to be said.

    For images that are not converted, those of more than 8 bits a sample.
    """
    try:
        if _transform(profile, colors) is None:
            return True, ""
    except _Unfit as error:
        return False, str(error)
    name = ImageCms.getProfileDescription(_read(profile)).strip()
    return False, f"its color profile ({name}) is not applied to more than 8 bits; {_ASSUMED}"


class _Unfit(Exception):
    """A profile cannot be followed; the message is what is to be said."""


@lru_cache(8)  # the photos of a folder have the same one
def _transform(profile: bytes, colors: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None where nothing changes."""
    try:
        source = _read(profile)
        space = source.profile.xcolor_space.strip()
        # Gray files often carry the RGB profile of the screen they were made at.
        mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(space, "")
        if mode != colors and (mode, colors) != ("RGB", "L"):
            raise _Unfit(f"its color profile is for {space}, not for its colors; {_ASSUMED}")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            # Of the few grays exactly: shortcuts that suit photos lose their darkest.
            ImageCms.Flags.BLACKPOINTCOMPENSATION
            | (ImageCms.Flags.NOOPTIMIZE if colors == "L" else 0),
        )
        if mode == "CMYK":
            return transform
        probe = _ramp(mode) if colors == "L" else PIL.Image.fromarray(_grid())
        there = np.asarray(transform.apply(probe), np.int16)
        change = np.abs(there - np.asarray(probe.convert("RGB"))).max()
        return None if change <= _SAME else transform
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise _Unfit(f"its color profile is damaged ({one_line(error)}); {_ASSUMED}") from error


def _read(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _ramp(mode: str) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.arange(256, dtype=np.uint8)[np.newaxis]).convert(mode)


def _grid() -> UInt8[np.ndarray, "reds greens_blues 3"]:
    levels = np.linspace(0, 255, 17).round().astype(np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(17, -1, 3)
