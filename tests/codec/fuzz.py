"""Looks for bytes that break the reader of `.dfm` files, guided by what code they reach.

    make fuzz
    python tests/codec/fuzz.py [LIBFUZZER_OPTION ..] [FOLDER]

What it is given are files without their first four bytes and their checksum, which are added:
with a wrong one nothing else is read. A reader says what is wrong in one line, or gives an image
whose own file it reads again to the same. It begins with the golden files and those in FOLDER,
where it also keeps what reaches new code; `-runs=N` and `-max_total_time=SECONDS` end it. Bytes
that break it, take half a minute or two gigabytes are written to a file `crash-..`, `timeout-..`
or `oom-..`.
"""

import struct
import sys
import tempfile
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dfm_flax.codec"]):
    from dfm_flax.codec import container

from dfm_flax.errors import UsageError

HERE = Path(__file__).resolve().parent
GOLDEN = (*HERE.glob("golden_v*.dfm"), *HERE.glob("pyramid/golden_v*.dfm"))
OPTIONS = ("-timeout=30", "-rss_limit_mb=2048", "-max_len=4096")


def read(data: bytes) -> None:
    body = container.MAGIC + data
    try:
        image = container.from_bytes(body + struct.pack("<I", zlib.crc32(body)))
    except UsageError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error}") from error
        return
    written = container.to_bytes(image)
    if container.to_bytes(container.from_bytes(written)) != written:
        raise AssertionError("what was read is written, and read to something else")


def main() -> None:
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    with tempfile.TemporaryDirectory() as seeds:
        for file in GOLDEN:
            (Path(seeds) / file.name).write_bytes(file.read_bytes()[len(container.MAGIC) : -4])
        atheris.Setup([sys.argv[0], *OPTIONS, *options, *folders, seeds], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
