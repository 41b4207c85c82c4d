import numpy as np
import PIL.Image
import pytest

from dfm_flax.errors import UsageError
from dfm_flax.figures.pictures import pictures_figure


def test_pictures_stand_in_order(tmp_path):
    """Each a color of its own; the place of None stays white."""
    colors = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)]
    pictures = [("$name\nline", np.full((8, 12, 3), color)) for color in colors]
    pictures.insert(1, ("none", None))
    pictures_figure(tmp_path / "p.png", pictures, columns=3)
    found = np.asarray(PIL.Image.open(tmp_path / "p.png").convert("RGB")).astype(int)
    centers = []
    for color in colors:
        rows, columns = np.nonzero(np.abs(found - 255 * np.array(color)).sum(-1) < 6)
        assert len(rows) > 1000
        centers.append((rows.mean() / found.shape[0], columns.mean() / found.shape[1]))
    rows, columns = zip(*centers, strict=True)
    assert max(rows[:2]) < min(rows[2:])
    assert columns == pytest.approx((1 / 6, 5 / 6, 1 / 6, 1 / 2), abs=0.05)


def test_gray_and_values_beyond_the_range(tmp_path):
    pictures_figure(tmp_path / "p.png", [("a", np.full((9, 9, 1), 7.0))], columns=1)
    assert (tmp_path / "p.png").stat().st_size > 0


def test_a_path_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        pictures_figure(tmp_path / "file" / "p.png", [("a", np.zeros((4, 4, 3)))], columns=1)
