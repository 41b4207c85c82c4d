import numpy as np

from dfm_flax.figures.grids import image_grid


def test_images_stand_row_by_row_with_white_gaps():
    images = np.arange(5, dtype=np.float32)[:, None, None, None] / 10 * np.ones((5, 2, 3, 1))
    grid = image_grid(images, columns=2, gap=1)
    assert grid.shape == (8, 7, 1)
    for i, (row, column) in enumerate([(0, 0), (0, 4), (3, 0), (3, 4), (6, 0)]):
        np.testing.assert_array_equal(grid[row : row + 2, column : column + 3], images[i])
    assert (grid[2] == 1).all()
    assert (grid[:, 3] == 1).all()
    assert (grid[6:, 4:] == 1).all()


def test_a_grid_is_as_square_as_can_be():
    assert image_grid(np.zeros((64, 8, 8, 3)), gap=0).shape == (64, 64, 3)
    assert image_grid(np.zeros((7, 8, 8, 3)), gap=0).shape == (24, 24, 3)
    assert image_grid(np.zeros((1, 8, 8, 3))).shape == (8, 8, 3)
