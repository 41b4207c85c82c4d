"""Images: read from files of many kinds, brought to size, written without loss.

In memory an image is float32 [H, W, C] in [0, 1], gray (C = 1) or RGB (C = 3).
"""

import contextlib
import difflib
import functools
import importlib.util
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from jaxtyping import Float32, Real, UInt, UInt8
from numpy.typing import ArrayLike

from dfm_flax.data.decoding import Header, decode, read_header
from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path

SAMPLE_PREFIX = "sample:"
TRANSPARENCY = "transparency is shown over white"

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Image:
    """An image and what is known of its source.

    Attributes:
      pixels: in [0, 1], of 1 channel (gray) or 3 (RGB).
      levels: the largest sample of the source, 255 (8 bits) or 65535 (16 bits).
      name: the file's name without folder and suffix.
      notes: what of the source is not in the pixels, in words.
    """

    pixels: Float32[np.ndarray, "height width channels"]
    levels: int
    name: str
    notes: tuple[str, ...] = ()


def read_image(source: str | Path) -> Image:
    """Reads any image that Pillow reads, or `sample:NAME`, an image that scikit-image ships.

    The image is turned upright as its EXIF data says. Gray stays gray; palettes and other
    color spaces become RGB, and colors sRGB by the file's ICC profile; transparency is composited
    over white; a file of several images gives its first. 16 bits are kept for gray images and for
    RGB in PNG and TIFF; whatever else is deeper, Pillow reduces to 8 bits. Float images must hold
    [0, 1] and count as 16 bits. HEIC and JPEG XL are read where their plug-ins are installed.

    What of the file is not in the pixels is logged as a warning, once for each source.

    Raises:
      UsageError: the source is missing, cannot be read, is no image, is truncated or
        damaged, holds numbers out of range, or is so large that Pillow suspects an attack.
    """
    image = decode_image(_read(source), source)
    for note in image.notes:
        _say_once(str(source), note)
    return image


def decode_image(data: bytes, source: str | Path) -> Image:
    """The image in the bytes of a file, as `read_image` reads it; `source` is the file's path."""
    with _named(source):
        decoded = decode(data)
    pixels, had_alpha = _over_white(decoded.samples)
    notes = (*decoded.notes, TRANSPARENCY) if had_alpha else decoded.notes
    return Image(pixels, decoded.levels, _name(source), notes)


def image_size(source: str | Path) -> Header:
    """Height, width, channels and levels that `read_image` will give, from the file's header.

    It takes no memory for pixels: many files can be looked at before the first is read.

    Raises:
      UsageError: the source is missing, cannot be read, is no image, or is too large.
    """
    data = _read(source)
    with _named(source):
        return read_header(data)


def prepare(image: Image, resize: int = 0, crop: tuple[int, int] | None = None) -> Image:
    """Resizes so that the shorter side has `resize` pixels (0 keeps), then crops the center.

    Args:
      image: the image.
      resize: pixels of the shorter side; the longer side keeps the proportion.
      crop: (height, width) in pixels, or None for the whole image.

    Raises:
      UsageError: a size makes no sense, or the image is smaller than the crop.
    """
    size = prepared_size(image.name, image.pixels.shape[:2], resize, crop)
    pixels = _resize(image.pixels, resize) if resize else image.pixels
    if crop is not None:
        top, left = ((have - want) // 2 for have, want in zip(pixels.shape, size, strict=False))
        pixels = pixels[top : top + size[0], left : left + size[1]].copy()
    return replace(image, pixels=pixels)


def prepared_size(
    name: str, size: tuple[int, ...], resize: int = 0, crop: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Height and width that `prepare` gives an image of this name and size, by the same errors."""
    if resize < 0 or (crop is not None and min(crop) < 1):
        raise UsageError(
            f"data.resize={resize}, data.crop={crop}: sizes are counted in pixels, "
            "with resize=0 to keep the image's and crop=() for all of it"
        )
    height, width = resized = _resized(size, resize) if resize else size
    if crop is None:
        return height, width
    short = [
        f"{side} of {have} pixels is under {want}"
        for side, have, want in zip(("height", "width"), resized, crop, strict=True)
        if have < want
    ]
    if short:
        raise UsageError(
            f"image {name} is smaller than the crop: its {' and its '.join(short)}; "
            f"use --config.data.resize={_shorter_side_for(crop, size)}"
        )
    return crop


def write_image(path: str | Path, pixels: ArrayLike, levels: int = 255) -> None:
    """Writes [H, W, C] in [0, 1] in the format of the suffix, complete or not at all.

    Samples are clipped to [0, 1] and rounded to the nearest of `levels` + 1 levels. Only PNG
    keeps 16 bits (levels = 65535), gray and RGB; other formats get 8, the lossy ones at
    quality 95.

    Raises:
      UsageError: no format has this suffix or can hold the image, or it cannot be written.
      ValueError: the pixels are not finite [H, W, 1] or [H, W, 3], or `levels` is neither
        255 nor 65535.
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3) or not np.isfinite(pixels).all():
        raise ValueError(f"expected finite pixels [H, W, 1] or [H, W, 3], got {pixels.shape}")
    if levels not in (255, 65535):
        raise ValueError(f"levels must be 255 or 65535, got {levels}")
    image_format = PIL.Image.registered_extensions().get(Path(path).suffix.lower())
    if image_format not in PIL.Image.SAVE:
        raise UsageError(f"cannot write {path}: use an image suffix such as .png, .webp or .tif")
    keeps_16_bits = image_format == "PNG" and levels == 65535
    samples = _quantize(pixels, np.uint16 if keeps_16_bits else np.uint8)
    with atomic_path(path) as temporary:
        if keeps_16_bits:
            temporary.write_bytes(_encode_png_16_bit(samples))
            return
        try:
            to_pillow(samples).save(temporary, image_format, quality=95)
        except ValueError as error:
            raise UsageError(f"cannot write {path}: {error}") from error


def to_pillow(samples: UInt8[np.ndarray, "height width channels"]) -> PIL.Image.Image:
    """Pillow's image, gray or RGB, of 1 channel or 3."""
    return PIL.Image.fromarray(samples[..., 0] if samples.shape[-1] == 1 else samples)


def _quantize(
    pixels: Real[np.ndarray, "height width channels"], dtype: type[np.unsignedinteger[Any]]
) -> UInt[np.ndarray, "height width channels"]:
    """Values in [0, 1] as the nearest of all levels of an integer type, some rows at a time."""
    samples = np.empty(pixels.shape, dtype)
    rows = max(1, 2**20 // pixels[0].size)
    for first in range(0, len(pixels), rows):
        values = pixels[first : first + rows].astype(np.float64)
        samples[first : first + rows] = np.rint(np.clip(values, 0, 1) * np.iinfo(dtype).max)
    return samples


def _read(source: str | Path) -> bytes:
    if str(source).startswith(SAMPLE_PREFIX):
        path = _sample_path(str(source).removeprefix(SAMPLE_PREFIX))
    else:
        path = Path(os.path.expanduser(source))  # a ~name that is no user's is a file's name
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"cannot read image {source}: {reason}") from error


@contextlib.contextmanager
def _named(source: str | Path) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise UsageError(f"cannot read image {source}: {error}") from error


def _name(source: str | Path) -> str:
    return Path(str(source).removeprefix(SAMPLE_PREFIX)).stem


@functools.cache
def _say_once(source: str, note: str) -> None:
    log.warning("%s: %s", source, note)


def _sample_path(name: str) -> Path:
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"{SAMPLE_PREFIX}{name} is part of scikit-image: install scikit-image")
    files = (Path(spec.submodule_search_locations[0]) / "data").iterdir()
    samples = {file.stem: file for file in sorted(files) if file.suffix in (".png", ".jpg")}
    if name not in samples:
        near = difflib.get_close_matches(name, samples, n=1)
        question = f"did you mean {SAMPLE_PREFIX}{near[0]}? " if near else ""
        raise UsageError(
            f"no sample image {name!r}; {question}available: {', '.join(samples) or 'none'}"
        )
    return samples[name]


def _over_white(
    samples: Float32[np.ndarray, "height width samples"],
) -> tuple[Float32[np.ndarray, "height width channels"], bool]:
    """Colors composited over white, and whether anything was transparent."""
    if samples.shape[-1] % 2:
        return samples, False
    colors, alpha = samples[..., :-1], samples[..., -1:]
    return colors * alpha + (1 - alpha), bool(alpha.min() < 1)


def _resize(
    pixels: Float32[np.ndarray, "height width channels"], shorter: int
) -> Float32[np.ndarray, "new_height new_width channels"]:
    """Lanczos in float, each channel alone; overshoot at edges is clipped."""
    height, width = _resized(pixels.shape[:2], shorter)
    channels = [
        PIL.Image.fromarray(channel).resize((width, height), PIL.Image.Resampling.LANCZOS)
        for channel in np.moveaxis(pixels, -1, 0)
    ]
    return np.clip(np.stack([np.asarray(channel) for channel in channels], axis=-1), 0, 1)


def _resized(size: tuple[int, ...], shorter: int) -> tuple[int, int]:
    """Height and width with a shorter side of `shorter` pixels, in proportion."""
    # Integers, rounded half up: the longer side is then never shorter than its exact size asks.
    height, width = ((2 * side * shorter + min(size)) // (2 * min(size)) for side in size)
    limit = PIL.Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > limit:
        raise UsageError(
            f"data.resize={shorter} gives {height} x {width} pixels, more than {limit:,}; "
            "use a smaller one"
        )
    return height, width


def _shorter_side_for(crop: tuple[int, int], size: tuple[int, ...]) -> int:
    """The smallest `resize` at which an image of `size` holds `crop`."""
    return max(-(-min(size) * want // have) for want, have in zip(crop, size, strict=True))


def _encode_png_16_bit(samples: UInt[np.ndarray, "height width channels"]) -> bytes:
    """A 16-bit PNG, gray or RGB; Pillow writes none in color."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    height, width, channels = samples.shape
    color_type = {1: 0, 3: 2}[channels]
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    rows = samples.astype(">u2").view(np.uint8).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (1, 0)))  # each row starts with its filter: 0, none
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows.tobytes())), chunk(b"IEND", b""))
    )
