"""The sweeps that ship: they load, and each of their cells can be trained and drawn."""

import pytest

from dfm_flax.config import load_config
from dfm_flax.fourier import num_weights
from dfm_flax.metrics.distortion import percent_of_raw_size
from dfm_flax.sweeps.figures import check_figures
from dfm_flax.sweeps.grid import make_cells
from dfm_flax.sweeps.running import check_cells


def percents(cells):
    sizes = [
        num_weights(m.depth, m.width, 3, m.basis, m.max_frequencies)
        for m in (cell.config.model.machine for cell in cells)
    ]
    return [percent_of_raw_size(size, *cells[0].config.data.crop, 3) for size in sizes]


@pytest.mark.parametrize(
    ("name", "count", "smallest", "largest"),
    [
        ("figure_5_1", 42, 0.02, 18.4),
        ("generalization", 1, 17, 18),
        ("generalization:thesis", 1, 17.9, 18),
        ("jpeg", 4, 0.48, 3.9),
        ("rates", 16, 17.9, 18),
        ("thesis_compression", 12, 17.9, 18),
        ("thesis_compression:7x8", 12, 18.3, 18.4),
        ("thesis_compression:readings", 16, 17.9, 18),
    ],
)
def test_sizes_of_the_cells(name, count, smallest, largest):
    config = load_config(f"sweeps/{name}")
    cells = make_cells(config)
    check_cells(cells)
    check_figures(config)
    assert len(cells) == count
    assert smallest < min(percents(cells)) <= max(percents(cells)) < largest
