import numpy as np
import PIL.Image
import pytest

from dfm_flax.figures.loss_intervals import interval_name, interval_of, loss_grid_figure


def test_a_bound_begins_the_next_interval():
    bounds = (0.1, 0.2)
    assert [interval_of(loss, bounds) for loss in (0.0, 0.099, 0.1, 0.15, 0.2, 9.0)] == [
        *(0, 0, 1, 1, 2, 2)
    ]
    assert [interval_name(i, bounds) for i in range(3)] == [
        *("below 0.1", "0.1 to 0.2", "0.2 and more")
    ]


def colors_of(path):
    pixels = np.asarray(PIL.Image.open(path).convert("RGB")).reshape(-1, 3)
    values, counts = np.unique(pixels, axis=0, return_counts=True)
    return {tuple(map(int, v)): int(c) for v, c in zip(values, counts, strict=True)}


@pytest.mark.parametrize(
    ("losses", "low", "high"), [((0.05, 0.06, 0.3), 2, 1), ((0.3, 0.4, 0.05), 1, 2)]
)
def test_squares_have_the_color_of_their_interval(tmp_path, losses, low, high):
    """Two colors, one as often as there are losses below the bound."""
    keys = [(2, 4), (2, 8), (3, 4)]  # (3, 8) is not finished
    loss_grid_figure(
        tmp_path / "f.png",
        dict(zip(keys, losses, strict=True)),
        dict.fromkeys(keys, 12.5),
        (0.1,),
        labels=("depth", "width"),
        title="$ no mathematics",
    )
    colors = colors_of(tmp_path / "f.png")
    bright, dark = (253, 231, 37), (72, 36, 117)  # the ends of viridis
    assert colors[bright] / colors[dark] == pytest.approx(low / high, rel=0.25)
