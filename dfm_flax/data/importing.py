"""Data sets from local original files into the layout that tensorflow-datasets (TFDS) reads."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8
from tqdm import tqdm

from dfm_flax.data.images import to_pillow
from dfm_flax.data.originals import Originals, read_originals
from dfm_flax.data.tfds import NOTE_FILE, is_importable, open_builder
from dfm_flax.errors import DfmError, UsageError
from dfm_flax.files import check_writable, temporary_folder

log = logging.getLogger(__name__)

# Images of train and test in the originals, to notice a part of a set.
_COUNTS = {
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "kmnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
}


def import_image_set(name: str, source: Path, data_dir: str = "") -> Path:
    """Writes a set of TFDS from local files, so that `tfds.load(name)` reads it from then on.

    TFDS's own writer is used, with the set's own features and keys: from the original files
    it makes what TFDS makes after a download. It writes to a folder beside and renames it, so an
    interrupted import leaves nothing that is taken for a data set.

    Args:
      name: in TFDS, of a set with splits train and test of images and labels, such as "mnist",
        "fashion_mnist" or "cifar10".
      source: the files, one of `originals.KINDS`.
      data_dir: where TFDS keeps its data; "" is TFDS's default.

    Returns:
      The folder of the set.

    Raises:
      UsageError: the set exists already, the source is not complete and sound, or does not
        fit the set's features.
      DfmError: it could not be written.
    """
    import tensorflow_datasets as tfds

    builder = open_builder(name, data_dir)
    features = builder.info.features
    if not is_importable(builder):
        raise UsageError(
            f"data set {name}: has {', '.join(features)}; only sets of image and label can be "
            "imported, others can be read from folders as folder:PATH"
        )
    folder = Path(builder.data_dir)
    if folder.exists():
        raise UsageError(f"{folder} exists already; remove it to import {name} again")
    check_writable(folder)
    originals = _read_for(name, source, features)
    note = {"source": source.name, "kind": originals.kind, "lossy": originals.is_lossy}
    total = sum(len(labels) for _, labels in originals.splits.values())
    with tqdm(
        total=total, desc=f"writing {name}", unit="image", delay=1, leave=False, disable=None
    ) as bar:

        class FromOriginals(type(builder), skip_registration=True):  # type: ignore[misc, call-arg]
            name = builder.name
            pkg_dir_path = builder.pkg_dir_path

            def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
                if originals.class_names:
                    self.info.features["label"].names = list(originals.class_names)
                return {
                    split: _examples(split, *arrays, bar, with_id="id" in features)
                    for split, arrays in originals.splits.items()
                }

            def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
                super()._download_and_prepare(*args, **kwargs)
                (Path(self.data_dir) / NOTE_FILE).write_text(json.dumps(note) + "\n")

        _write(FromOriginals(data_dir=builder.data_dir_root, config=builder.builder_config), tfds)
    return folder


def _write(builder: Any, tfds: Any) -> None:
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    tfds.disable_progress_bar()
    try:
        with temporary_folder() as unused, contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_dir=unused, download_config=config)
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise DfmError(f"writing {builder.data_dir} failed: {reason}") from error
    finally:
        tfds.enable_progress_bar()
        for parent in list(Path(builder.data_dir).parents)[:2]:  # where nothing was written
            with contextlib.suppress(OSError):
                parent.rmdir()


def _examples(
    split: str,
    images: UInt8[np.ndarray, "images height width channels"],
    labels: Int32[np.ndarray, "images"],
    bar: tqdm,
    with_id: bool,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Keys and examples; the keys are TFDS's own, so the order on the disk is too."""
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        png = io.BytesIO()
        to_pillow(image).save(png, "PNG")
        example = {"image": png.getvalue(), "label": int(label)}
        yield i, example | ({"id": f"{split}_{i:05d}"} if with_id else {})
        bar.update()


def _read_for(name: str, source: Path, features: Any) -> Originals:
    """Originals that fit the features of a set, with labels in its order."""
    originals = read_originals(source)
    shape, num_classes = features["image"].shape, features["label"].num_classes
    relabel, class_names = _class_order(name, source, originals, features["label"])
    splits = {}
    for split, (images, labels) in originals.splits.items():
        if not len(images):
            raise UsageError(f"{source}: no {split} images")
        if images.shape[-1] == 1 and shape[-1] == 3:
            images = np.repeat(images, 3, axis=-1)
        if any(
            want not in (None, have) for want, have in zip(shape, images.shape[1:], strict=True)
        ):
            raise UsageError(
                f"{source}: {split} images of {_times(images.shape[1:])}, but {name} has images of "
                f"{_times(shape)} (height x width x channels)"
            )
        if labels.max() >= num_classes:
            raise UsageError(
                f"{source}: a {split} image of class {labels.max()}, but {name} has "
                f"{num_classes} classes, from 0 on"
            )
        splits[split] = images, labels if relabel is None else relabel[labels]
    _compare_with_known(name, source, originals)
    return replace(originals, splits=splits, class_names=class_names)


def _class_order(
    name: str, source: Path, originals: Originals, label: Any
) -> tuple[Int32[np.ndarray, "classes"] | None, tuple[str, ...]]:
    """New labels by old ones (None: the same), and the names that the set is still to get."""
    if not originals.class_names:
        return None, ()
    if set(originals.class_names) <= set(label.names):
        order = [label.names.index(class_name) for class_name in originals.class_names]
        return np.array(order, np.int32), ()
    unnamed = label.names == [str(i) for i in range(label.num_classes)]
    if not unnamed or len(originals.class_names) != label.num_classes:
        wrong = sorted(set(originals.class_names) - set(label.names))
        raise UsageError(
            f"{source}: its {len(originals.class_names)} classes, with {', '.join(wrong[:3])}, are "
            f"not the {label.num_classes} of {name}, {', '.join(label.names[:12])}"
        )
    return None, originals.class_names


def _compare_with_known(name: str, source: Path, originals: Originals) -> None:
    """Warns of what is sound but not the original set."""
    if originals.is_mnist and name != "mnist":
        raise UsageError(f"{source}: these are the files of mnist, not of {name}")
    counts = tuple(len(labels) for _, labels in originals.splits.values())
    if name in _COUNTS and counts != _COUNTS[name]:
        log.warning(
            "%s: %d train and %d test images, where %s has %d and %d: a part of it",
            *(source, *counts, name, *_COUNTS[name]),
        )
    elif name == "mnist" and not originals.is_mnist:
        log.warning("%s: not the original files of MNIST, or not all of their images", source)
    if originals.is_lossy:
        log.warning("%s: %s, which lose detail; name them so", source, originals.kind)


def _times(shape: tuple[int | None, ...]) -> str:
    return " x ".join(map(str, shape))
