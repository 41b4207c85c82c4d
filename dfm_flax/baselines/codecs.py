"""Other image codecs at full effort, over their range of qualities, to compare with."""

import functools
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from jaxtyping import Float, UInt8

from dfm_flax.data.images import to_pillow
from dfm_flax.errors import UsageError
from dfm_flax.files import atomic_path

_QUALITIES = (2, 5, 8, 12, 17, 23, 30, 38, 47, 57, 68, 80)


Pixels = Float[np.ndarray, "height width channels"]  # in [0, 1]


@dataclass(frozen=True, eq=False)
class Coded:
    """An image as a codec gives it back.

    Attributes:
      num_bytes: of the file.
    """

    num_bytes: int
    pixels: Pixels


def codecs(folder: Path | None = None) -> dict[str, Callable[[Pixels], list[Coded]]]:
    """Codecs by name: an image in [0, 1] to itself at many rates.

    Args:
      folder: keeps the files, and is looked into first: AVIF takes minutes for an image.

    Raises:
      UsageError: the plugin for JPEG XL is not installed.
    """
    try:
        import pillow_jxl  # noqa: F401  # registers itself with Pillow
    except ImportError as error:
        raise UsageError(
            "the report needs a few more packages: pip install 'dfm_flax[report]'"
        ) from error
    code = functools.partial(_coded, folder)
    each = {"JPEG": _jpeg, "WebP": _webp, "AVIF": _avif, "JPEG XL": _jpeg_xl}
    return {name: functools.partial(codec, code) for name, codec in each.items()}


def _jpeg(code: Callable[..., Coded], image: Pixels) -> list[Coded]:
    """With and without halved color, Huffman tables optimized, baseline or progressive."""
    subsamplings = (0, 2) if image.shape[-1] == 3 else (0,)
    coded = []
    for quality in _QUALITIES:
        for subsampling in subsamplings:
            both = [
                code(
                    image,
                    "JPEG",
                    quality=quality,
                    subsampling=subsampling,
                    optimize=True,
                    progressive=progressive,
                )
                for progressive in (False, True)
            ]
            coded.append(min(both, key=lambda one: one.num_bytes))
    return coded


def _webp(code: Callable[..., Coded], image: Pixels) -> list[Coded]:
    return [code(image, "WEBP", quality=quality, method=6) for quality in _QUALITIES]


def _avif(code: Callable[..., Coded], image: Pixels) -> list[Coded]:
    """With and without halved color, at the slowest speed."""
    return [
        code(image, "AVIF", quality=quality, speed=0, subsampling=subsampling)
        for quality in _QUALITIES
        for subsampling in (("4:2:0", "4:4:4") if image.shape[-1] == 3 else ("4:0:0",))
    ]


def _jpeg_xl(code: Callable[..., Coded], image: Pixels) -> list[Coded]:
    return [code(image, "JXL", quality=quality, effort=9) for quality in _QUALITIES]


def encoded(image: Pixels, kind: str, **settings: Any) -> bytes:
    """The file of an image in [0, 1] in one of Pillow's formats, 8 bits a sample."""
    file = io.BytesIO()
    to_pillow(_samples(image)).save(file, kind, **settings)
    return file.getvalue()


def decoded(data: bytes, shape: tuple[int, ...]) -> Pixels:
    """The image in [0, 1] of such a file."""
    image = PIL.Image.open(io.BytesIO(data)).convert("L" if shape[-1] == 1 else "RGB")
    return np.asarray(image).reshape(shape) / 255


def _samples(image: Pixels) -> UInt8[np.ndarray, "height width channels"]:
    return np.rint(image * 255).astype(np.uint8)


def _coded(folder: Path | None, image: Pixels, kind: str, **settings: Any) -> Coded:
    data = (
        encoded(image, kind, **settings) if folder is None else _kept(folder, image, kind, settings)
    )
    return Coded(len(data), decoded(data, image.shape))


def _kept(folder: Path, image: Pixels, kind: str, settings: dict[str, Any]) -> bytes:
    """The file from the folder, or else encoded and written there."""
    sha = hashlib.sha256(_samples(image).tobytes())
    sha.update(repr((image.shape, kind, sorted(settings.items()), PIL.__version__)).encode())
    file = folder / f"{sha.hexdigest()[:32]}.{kind.lower()}"
    if not file.exists():
        with atomic_path(file) as path:
            path.write_bytes(encoded(image, kind, **settings))
    return file.read_bytes()
