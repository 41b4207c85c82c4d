"""The HTML page itself, which needs no other file and no network."""

import json
from pathlib import Path

from dfm_flax.files import atomic_path
from dfm_flax.viewer.contents import Contents

_HERE = Path(__file__).parent
_SCRIPTS = ("drawer.js", "machine.js", "pyramid.js", "generator.js", "view.js", "page.js")


def write_page(path: str | Path, contents: Contents) -> None:
    """Writes the page, complete or not at all."""
    data = json.dumps(vars(contents)).replace("<", "\\u003c")  # no end of the script element
    scripts = "\n".join((_HERE / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    page = (_HERE / "page.html").read_text(encoding="utf-8")
    page = page.replace("SCRIPTS", scripts).replace("DATA", data)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
