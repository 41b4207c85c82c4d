"""Tutorials run as they are printed, and the site has the pictures that they show."""

import importlib.util
import re
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"


def load_runner():
    spec = importlib.util.spec_from_file_location("run_tutorials", TUTORIALS / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUNNER = load_runner()


def test_all_notebooks_are_run():
    pages = {page.stem for page in TUTORIALS.glob("*.md") if "jupytext" in page.read_text()[:50]}
    assert pages == set(RUNNER.NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNNER.NAMES)
def test_a_tutorial_runs_and_shows_its_pictures(name, tmp_path):
    """A cell that fails raises; each picture that a cell draws is on the page, and no other."""
    pictures = RUNNER.run(name, tmp_path)
    assert pictures
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    shown = re.findall(
        rf"images/tutorials/({name}_\d+\.png)", (TUTORIALS / f"{name}.md").read_text()
    )
    assert shown == [f"{name}_{number}.png" for number in range(1, len(pictures) + 1)]
    assert all((RUNNER.IMAGES / picture).is_file() for picture in shown)
