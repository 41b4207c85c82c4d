"""`.dfm` files against other codecs on the same images."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from dfm_flax.baselines import published
from dfm_flax.baselines.codecs import Coded, codecs
from dfm_flax.codec import container
from dfm_flax.data.image_files import image_name
from dfm_flax.data.images import SAMPLE_PREFIX, Image, read_image
from dfm_flax.errors import DfmError, UsageError, one_line
from dfm_flax.metrics.distortion import bits_per_pixel, ms_ssim, psnr
from dfm_flax.metrics.rate_distortion import Point

OURS = "DFM"
COIN = "COIN, trained as long"
_SHOWN = (256, 384)  # height and width of what is shown, at most


@dataclass(frozen=True, eq=False)
class Shown:
    """The `center` of a picture in [0, 1] to be looked at, and what it cost."""

    pixels: Float[np.ndarray, "height width channels"]
    point: Point


@dataclass(frozen=True, eq=False)
class Comparison:
    """All codecs on one image.

    Attributes:
      name, original: of the image, and the `center` of it: whole images would fill the memory.
      points: by codec.
      is_of_kodak: whether what is published for Kodak's images says something about this one.
      shown: by codec, at about the same size: that of the file of ours nearest to 0.3 bpp; of
        the others the largest that is no larger, or else their smallest.
    """

    name: str
    original: Float[np.ndarray, "height width channels"]
    points: dict[str, list[Point]] = field(default_factory=dict)
    shown: dict[str, Shown] = field(default_factory=dict)
    is_of_kodak: bool = False


def compare(
    files: Sequence[str],
    folders: Sequence[Path],
    coin: Path | None = None,
    workdir: Path | None = None,
    failed: Callable[[DfmError], None] | None = None,
) -> list[Comparison]:
    """Measures `.dfm` files and other codecs, on each image.

    Args:
      files: the original images, see `data.image_files.list_files`.
      folders: of NAME.dfm files, as `dfm compress` writes them, a folder for each rate. Of
        images of one name in different formats, NAME.SUFFIX.dfm is the file.
      coin: a file of `benchmarks.coin`, whose networks of these images take part.
      workdir: keeps the files of the other codecs, which a second report then does not encode.
      failed: is told the error of an image, which is then left out; None to raise it.

    Raises:
      UsageError: an image or file cannot be read, an image has no file in any folder, a file
        is of another size, or of more images than one by its name.
    """
    others = codecs(workdir)
    networks = _read_networks(coin) if coin else []
    pairs = _paired(files, folders)
    compared = []
    with tqdm(total=len(files) * (1 + len(others)), unit="codec", leave=False, disable=None) as bar:
        for source in files:
            try:
                image = read_image(source)
                ours = _ours(image, pairs[source], folders)
            except UsageError as error:
                if failed is None:
                    raise
                failed(error)
                continue
            is_of_kodak = published.is_of_kodak(image.name, *image.pixels.shape[:2])
            comparison = Comparison(image.name, center(image.pixels), is_of_kodak=is_of_kodak)
            _add(comparison, OURS, image.pixels, ours, largest=None)
            bar.update()
            size = comparison.shown[OURS].point.bpp
            for name, codec in others.items():
                _add(comparison, name, image.pixels, codec(image.pixels), largest=size)
                bar.update()
            trained = [Point(**point) for name, point in networks if name == image.name]
            if trained:
                comparison.points[COIN] = trained
            if is_of_kodak:
                comparison.points.update(published.of_image(image.name))
            compared.append(comparison)
    return compared


def _read_networks(file: Path) -> list[tuple[str, dict[str, float]]]:
    """The name of the image and the point of each network of a file of `benchmarks.coin`."""
    try:
        return [
            (row["image"], {key: float(row[key]) for key in ("bpp", "psnr", "ms_ssim")})
            for row in json.loads(file.read_text())
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"cannot read {file}: {one_line(error)}") from error


def _paired(sources: Sequence[str], folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The `.dfm` files of each image, by its full name or else by its name without suffix."""
    pairs: dict[str, list[Path]] = {}
    owners: dict[Path, str] = {}
    for source in dict.fromkeys(sources):
        path = Path(source.removeprefix(SAMPLE_PREFIX))
        names = [f"{name}{container.SUFFIX}" for name in (path.name, image_name(source))]
        found = [
            next((folder / name for name in names if (folder / name).is_file()), None)
            for folder in folders
        ]
        pairs[source] = [file for file in found if file is not None]
        for file in dict.fromkeys(pairs[source]):
            if file in owners:
                raise UsageError(
                    f"{file} may be of {owners[file]} or of {source}; call them "
                    f"{Path(owners[file]).name}{container.SUFFIX} and {names[0]}, or report on "
                    "one at a time"
                )
            owners[file] = source
    return pairs


def _ours(image: Image, files: Sequence[Path], folders: Sequence[Path]) -> list[Coded]:
    if not files:
        searched = ", ".join(map(str, folders))
        raise UsageError(f"no {image.name}{container.SUFFIX} in {searched}")
    coded = []
    for file in files:
        decoded_image = container.read(file).decoded()
        if decoded_image.shape != image.pixels.shape:
            raise UsageError(f"{file} is of another size than image {image.name}")
        coded.append(Coded(file.stat().st_size, decoded_image))
    return coded


def center(
    pixels: Float[np.ndarray, "height width channels"],
) -> Float[np.ndarray, "shown_height shown_width channels"]:
    """The part of an image that is shown, with memory of its own."""
    top, left = (
        max(0, (have - want) // 2) for have, want in zip(pixels.shape, _SHOWN, strict=False)
    )
    return pixels[top : top + _SHOWN[0], left : left + _SHOWN[1]].copy()


def _add(
    comparison: Comparison,
    codec: str,
    original: Float[np.ndarray, "height width channels"],
    coded: list[Coded],
    largest: float | None,
) -> None:
    height, width = original.shape[:2]
    points = [
        Point(
            bits_per_pixel(one.num_bytes, height, width),
            psnr(original, one.pixels),
            ms_ssim(original, one.pixels),
        )
        for one in coded
    ]
    comparison.points[codec] = points

    def unfit(index: int) -> tuple[bool, float]:
        if largest is None:
            return False, abs(math.log(points[index].bpp / 0.3))
        over = points[index].bpp > largest * 1.02
        return over, points[index].bpp if over else -points[index].psnr

    best = min(range(len(points)), key=unfit)
    comparison.shown[codec] = Shown(center(coded[best].pixels), points[best])
