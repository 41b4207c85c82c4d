"""Runs the tutorials as notebooks, and keeps their pictures for the site.

`python docs/tutorials/run.py` runs all of them, `python docs/tutorials/run.py generate` one; their
pictures go to docs/images/tutorials.
"""

import base64
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jupytext
from nbclient import NotebookClient

HERE = Path(__file__).parent
IMAGES = HERE.parent / "images" / "tutorials"
NAMES = ("compress", "generate", "extend")  # the one on the thesis takes days


def run(name: str, folder: Path) -> list[bytes]:
    """Executes a tutorial in a folder; returns the pictures that its cells show, as PNG.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook: Any = jupytext.read(HERE / f"{name}.md")
    environment = os.environ | {
        # `dfm` of this environment, and this checkout's package.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        # Pictures on the page, whatever the caller's figures are drawn with.
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=600,
        startup_timeout=300,
        resources={"metadata": {"path": str(folder)}},
    ).execute(env=environment)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output.get("data", {}).get("image/png") for output in outputs]
    return [base64.b64decode(picture) for picture in pictures if picture]


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    for name in sys.argv[1:] or NAMES:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            pictures = run(name, Path(folder))
        for number, picture in enumerate(pictures, 1):
            (IMAGES / f"{name}_{number}.png").write_bytes(picture)
        print(f"{name}: {len(pictures)} pictures, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
