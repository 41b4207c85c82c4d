"""The samples in an image file's bytes: what Pillow reads, and what it leaves to us.

Pillow knows nearly all formats, and is silent about what it drops. What of a file is not in the
samples is said in words, the `notes`.
"""

import contextlib
import importlib
import io
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
from jaxtyping import Float32
from PIL import PngImagePlugin
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION

from dfm_flax.data.color_profiles import is_srgb, to_srgb
from dfm_flax.data.memory import check_fits
from dfm_flax.errors import UsageError, one_line

# Of memory while a pixel is read, at most: some copies in floats, and Pillow's own. Measured.
BYTES_A_PIXEL = 48

_SMALL = 10**6  # pixels that fit anywhere; to ask for the free memory takes as long as to read them
_COUNTED = ("PNG", "JPEG")  # formats whose frames are known, once a file is opened

_GIGABYTE = 1e9


@dataclass(frozen=True, eq=False)
class Decoded:
    """What is in an image file.

    Attributes:
      samples: in [0, 1], with alpha last where their number is even.
      levels: the largest sample of the source, 255 (8 bits) or 65535 (16 bits).
      notes: what of the file is not in the samples, in words.
    """

    samples: Float32[np.ndarray, "height width samples"]
    levels: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """What a file says of its image before it is decoded: what an `Image` of it will have."""

    height: int
    width: int
    channels: int
    levels: int


def decode(data: bytes) -> Decoded:
    """Decodes a file, upright as its EXIF data says, in sRGB as its ICC profile says.

    Raises:
      UsageError: it is no image, damaged, of numbers out of range, or too large.
    """
    notes: list[str] = []
    with _errors(notes):
        samples, levels = _decode(data, notes)
    return Decoded(samples, levels, tuple(dict.fromkeys(notes)))


def read_header(data: bytes) -> Header:
    """The header of a file, which takes little time and memory for most formats.

    Raises:
      UsageError: it is no image, or too large.
    """
    notes: list[str] = []
    with _errors(notes):
        image = _open(data)
        deep = _is_deep_gray(image) or _low_byte_mode(image) is not None
        channels, levels = 1 if _is_gray(image) else 3, 65535 if deep else 255
        width, height = image.size
        # Pillow itself turns TIFF. Of PNG it reads all to find what comes after the pixels.
        turned = image.format != "TIFF" and image.getexif().get(Base.Orientation, 1) in range(5, 9)
        return Header(*(width, height) if turned else (height, width), channels, levels)


def allow_pixels(number: int | None) -> None:
    """Lets images have so many pixels (None: any), from now on; refused if memory is short."""
    PIL.Image.MAX_IMAGE_PIXELS = number


def register_plugins() -> None:
    """Lets Pillow read HEIC and JPEG XL, where pillow-heif and pillow-jxl-plugin are installed."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_jxl")  # registers itself
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


register_plugins()  # before anybody asks Pillow what suffixes it knows
# A text of an editor's history may well be longer than Pillow's megabyte; all of them, it allows.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


@contextlib.contextmanager
def _errors(notes: list[str]) -> Iterator[None]:
    """All that goes wrong as a UsageError, and what Pillow warns of as notes."""
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
            yield
        notes += [" ".join(str(w.message).split()) for w in warned if w.category is UserWarning]
    except UsageError:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise UsageError(_too_large(error)) from error
    except PIL.UnidentifiedImageError as error:
        raise UsageError("not an image of a known format") from error
    except Exception as error:  # decoders answer damaged bytes with nearly any exception
        raise UsageError(one_line(error)) from error


def _too_large(error: BaseException) -> str:
    limit = f"it has more than {PIL.Image.MAX_IMAGE_PIXELS:,} pixels"
    found = re.search(r"\((\d+) pixels\)", str(error))
    if not found:
        return limit
    pixels = int(found[1])
    memory = pixels * BYTES_A_PIXEL / _GIGABYTE
    return (
        f"{limit}, namely {pixels:,}; --max-pixels {pixels} allows it, and reading takes up to "
        f"{memory:.1f} GB of memory"
    )


def _open(data: bytes) -> PIL.Image.Image:
    image = PIL.Image.open(io.BytesIO(data))
    if min(image.size) < 1:
        raise ValueError("it has no pixels")
    return image


def _decode(
    data: bytes, notes: list[str]
) -> tuple[Float32[np.ndarray, "height width samples"], int]:
    image = _open(data)
    pixels = image.width * image.height
    if pixels > _SMALL:
        check_fits(BYTES_A_PIXEL * pixels, f"an image of {pixels:,} pixels, while it is read,")
    raw_mode = _raw_mode(image)
    bits = _bits(image, raw_mode)
    planar = image.format == "TIFF" and raw_mode == "R"
    if planar and bits == 16:
        raise ValueError("Pillow misreads 16-bit TIFF in separate planes; interleave its colors")
    low_byte_mode, deep_gray = _low_byte_mode(image), _is_deep_gray(image)
    gray, profile = _is_gray(image), image.info.get("icc_profile")
    if (frames := _num_frames(image, data)) > 1:
        notes.append(f"only the first of its {frames} {_frame_name(image)} is read")
    upright = PIL.ImageOps.exif_transpose(image)
    if low_byte_mode or deep_gray:
        if profile and (said := is_srgb(profile, "L" if gray else "RGB")[1]):
            notes.append(said)
        if low_byte_mode:
            return _with_low_bytes(upright, _decode_low_bytes(data, low_byte_mode)), 65535
        return _deep_gray(image, upright, bits), 65535
    if bits > 8:
        notes.append(f"its {bits} bits a sample are read as 8")
    if profile and upright.mode == "CMYK":
        upright, said = to_srgb(upright, profile)
        notes += [said] if said else []
        profile = None
    _scale_transparent_gray(upright, raw_mode)
    mode = ("L" if gray else "RGB") + ("A" if upright.has_transparency_data else "")
    shown = upright.convert(mode)
    if profile:
        shown, said = to_srgb(shown, profile)
        notes += [said] if said else []
    samples = np.array(shown, np.float32)
    samples /= np.float32(255)
    return samples[..., np.newaxis] if samples.ndim == 2 else samples, 255


def _is_deep_gray(image: PIL.Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _is_gray(image: PIL.Image.Image) -> bool:
    # Pillow widens gray with alpha to RGBA when it has 16 bits.
    return _is_deep_gray(image) or image.mode in ("1", "L", "LA") or _raw_mode(image) == "LA;16B"


def _bits(image: PIL.Image.Image, raw_mode: str) -> int:
    """Bits of a sample in the file, 8 where Pillow does not tell."""
    if image.format == "TIFF":
        return int(np.max(image.getexif().get(BITSPERSAMPLE, 8)))  # of one sample, or of each
    return 16 if ";16" in raw_mode else image.info.get("bit_depth", 8)


def _num_frames(image: PIL.Image.Image, data: bytes) -> int:
    """Pages or frames, where a file has several; one that is damaged later on has at least one."""
    try:
        counted = image if image.format in _COUNTED else _open(data)
        return getattr(counted, "n_frames", 1)
    except Exception:  # of frames that nobody asks for
        return 1


def _frame_name(image: PIL.Image.Image) -> str:
    return {"TIFF": "pages", "MPO": "pictures"}.get(image.format or "", "frames")


def _deep_gray(
    image: PIL.Image.Image, upright: PIL.Image.Image, bits: int
) -> Float32[np.ndarray, "height width samples"]:
    """Gray of integers up to 65535 or floats up to 1, with a transparent one as alpha."""
    numbers = np.asarray(upright, np.float64)[..., np.newaxis]
    largest = 1 if upright.mode == "F" else 4095 if bits == 12 else 65535
    if not (numbers.min() >= 0 and numbers.max() <= largest):  # also catches NaN
        raise ValueError(f"its numbers must lie between 0 and {largest}; rescale it")
    samples = (numbers / largest).astype(np.float32)
    if image.format == "TIFF" and image.getexif().get(PHOTOMETRIC_INTERPRETATION) == 0:
        samples = 1 - samples  # white is zero, which Pillow minds where it has up to 8 bits
    return _with_transparent(samples, numbers, upright)


def _with_low_bytes(
    upright: PIL.Image.Image, low_bytes: Float32[np.ndarray, "height width stored"]
) -> Float32[np.ndarray, "height width samples"]:
    words = np.array(upright, np.float32)
    words *= 256
    words += low_bytes
    return _with_transparent(words / np.float32(65535), words, upright)


def _with_transparent(
    samples: Float32[np.ndarray, "height width channels"],
    numbers: Any,
    upright: PIL.Image.Image,
) -> Float32[np.ndarray, "height width samples"]:
    """Samples with an alpha of 0 where the file's own numbers are those of its transparent color.

    Pillow compares 8 bits only.
    """
    color = upright.info.get("transparency")
    if color is None or samples.shape[-1] % 2 == 0:
        return samples
    opaque = (numbers != np.asarray(color)).any(-1, keepdims=True)
    return np.concatenate([samples, opaque], -1, dtype=np.float32)


def _scale_transparent_gray(upright: PIL.Image.Image, raw_mode: str) -> None:
    """Gray of 2 or 4 bits is scaled to 8 when it is read; Pillow forgets its transparent one."""
    largest = {"L;2": 3, "L;4": 15}.get(raw_mode)
    if largest and "transparency" in upright.info:
        upright.info["transparency"] *= 255 // largest


# Pillow has no mode for 16-bit color and keeps the high byte of each sample. Reading once more
# as if the bytes came in the other order keeps the low byte: together, all 16 bits.
_LOW_BYTE_MODES = {
    f"{mode};16{order}": f"{mode};16{other}"
    for mode in ("RGB", "RGBA")
    for order, other in (("B", "L"), ("L", "B"), ("N", "B" if sys.byteorder == "little" else "L"))
}


def _low_byte_mode(image: PIL.Image.Image) -> str | None:
    return _LOW_BYTE_MODES.get(_raw_mode(image)) if image.mode in ("RGB", "RGBA") else None


def _raw_mode(image: PIL.Image.Image) -> str:
    """How Pillow will unpack the file's samples, such as "RGB;16B"; empty where it does not say."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else ""
    raw_mode = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return raw_mode if isinstance(raw_mode, str) else ""


def _decode_low_bytes(data: bytes, raw_mode: str) -> Float32[np.ndarray, "height width samples"]:
    image: Any = PIL.Image.open(io.BytesIO(data))
    image.tile = [
        tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *tile.args[1:]))
        for tile in image.tile
    ]
    return np.asarray(PIL.ImageOps.exif_transpose(image), np.float32)
