"""Import data sets from local files, list and show them.

Training takes its images from digits (built in), from tensorflow-datasets (TFDS), which downloads
a set when it is first asked for, or from a folder of images (folder:PATH). Where there is no
internet, `dfm data import` makes a set of TFDS from its original files:

  dfm data import mnist MNIST_FOLDER          the four IDX files, gzipped or not; the same
                                              for fashion_mnist and kmnist
  dfm data import cifar10 cifar-10-python.tar.gz      CIFAR-10's own archive, Python or binary
  dfm data import cifar10 pictures.tar.gz     images in {train,test}/CLASS/, as a folder or
                                              an archive, for any set of images with labels

Of a folder with any number of images it makes a set under a name of your own, in ArrayRecord files
that training can stream from the disk. It decodes every image, so that none turns out to be damaged
later; interrupted, the same command goes on:

  dfm data import faces FOLDER --size 64 --skip-damaged
  dfm data check faces                        are its files what was written?

From then on the set is read as if TFDS had downloaded it, also by other programs:

  dfm data list
  dfm data show mnist --split test --out digits.png

Folders of TFDS are ~/tensorflow_datasets, $TFDS_DATA_DIR, or what --data-dir says.
"""

import argparse
from collections.abc import Callable

from dfm_flax.commands.arguments import add_max_pixels, add_out, outputs, path, whole
from dfm_flax.errors import UsageError
from dfm_flax.reports.tables import print_table
from dfm_flax.terminal import printable

_SHOWN = 100  # images on a contact sheet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")

    def add(
        name: str, act: Callable[[argparse.Namespace], int], summary: str
    ) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        made.add_argument(
            "--data-dir", default="", metavar="DIR", help="of TFDS; default ~/tensorflow_datasets"
        )
        made.set_defaults(act=act)
        return made

    importing = add("import", _import, "make a set of TFDS from its original files, or a folder")
    importing.add_argument(
        "name", metavar="NAME", help="in TFDS, such as mnist or cifar10, or one of your own"
    )
    importing.add_argument("--size", type=whole, help="bring images to SIZE x SIZE pixels")
    importing.add_argument(
        "--skip-damaged", action="store_true", help="leave out images that cannot be read"
    )
    importing.add_argument(
        "--workers", type=whole, help="processes that decode; default one for each core but one"
    )
    add_max_pixels(importing)
    importing.add_argument("source", metavar="SOURCE", type=path, help="folder or archive")

    add("list", _list, "list the sets of TFDS that are on the disk")

    checking = add("check", _check, "compare the files of an imported folder with their checksums")
    checking.add_argument("name", metavar="NAME", help="of a set that was made of a folder")

    showing = add("show", _show, "load a set, print its facts, draw its first images")
    showing.add_argument("name", metavar="NAME", help="digits, a set of TFDS, or folder:PATH")
    showing.add_argument("--split", default="all", help="all (default), train, test, ...")
    showing.add_argument("--size", type=whole, default=0, help="bring images to SIZE x SIZE pixels")
    add_max_pixels(showing)
    add_out(showing, required=False, help=f"its first {_SHOWN} images as a picture")


def run(options: argparse.Namespace, overrides: list[str]) -> int:
    return options.act(options)


def _import(options: argparse.Namespace) -> int:
    from dfm_flax.data import tfds

    if tfds.is_known(options.name):
        from dfm_flax.data.importing import import_image_set

        for given, option in (
            (options.size is not None, "--size"),
            (options.skip_damaged, "--skip-damaged"),
            (options.workers is not None, "--workers"),
        ):
            if given:
                raise UsageError(
                    f"{option} goes with a name of your own; {options.name} is a set of TFDS"
                )
        print(printable(import_image_set(options.name, options.source, options.data_dir)))
        return 0
    from dfm_flax.data.folder_import import import_folder

    made = import_folder(
        options.name,
        options.source,
        options.data_dir,
        size=options.size or 0,
        skip_damaged=options.skip_damaged,
        workers=-1 if options.workers is None else options.workers,
    )
    print(printable(made))
    return 0


def _check(options: argparse.Namespace) -> int:
    from dfm_flax.data.tfds import check_files

    print(f"{options.name}: {check_files(options.name, options.data_dir):,} files as written")
    return 0


def _list(options: argparse.Namespace) -> int:
    from dfm_flax.data.tfds import list_sets

    if sets := list_sets(options.data_dir):
        print_table(sets)
    else:
        print("no sets here; `dfm data import` makes one, and training downloads what it needs")
    return 0


def _show(options: argparse.Namespace) -> int:
    from dfm_flax.data.image_files import writable_suffixes
    from dfm_flax.data.image_sets import load_image_set
    from dfm_flax.data.images import write_image
    from dfm_flax.figures.grids import image_grid

    out = None
    if options.out:
        out = outputs(options).one("images.png", writable_suffixes())
    loaded = load_image_set(options.name, options.split, options.data_dir, size=options.size)
    count, height, width, channels = loaded.images.shape
    print(
        f"{options.name}, {options.split}: {count:,} images of {height} x {width} pixels, "
        f"{'gray' if channels == 1 else 'RGB'}, {loaded.num_classes} classes, "
        f"{loaded.images.nbytes:,} bytes"
    )
    if out:
        write_image(out, image_grid(loaded.images[:_SHOWN] / 255))
        print(printable(out))
    return 0
