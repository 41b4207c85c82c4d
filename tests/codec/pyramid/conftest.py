import numpy as np
import pytest

from dfm_flax.data.images import Image


@pytest.fixture(scope="session")
def photo():
    """photo(height, width, channels, levels): smooth colors with an edge and some noise."""

    def make(height=24, width=32, channels=3, levels=255):
        y, x = np.mgrid[:height, :width] / max(height, width)
        colors = [0.5 + 0.4 * np.sin(5 * x + 3 * y), x * y + 0.3 * (x > 0.4), 1 - x / 2 - y / 2]
        pixels = np.stack(colors[:channels], axis=-1)
        pixels += np.random.default_rng(0).normal(0, 0.02, pixels.shape)
        pixels = np.rint(np.clip(pixels, 0, 1) * levels) / levels
        return Image(pixels.astype(np.float32), levels, "photo")

    return make


@pytest.fixture(scope="session")
def random_weights():
    """random_weights(network, seed): floats of the size of trained ones."""

    def make(network, seed=0):
        rng = np.random.default_rng(seed)
        weights = {
            name: rng.normal(0, 0.3, shape).astype(np.float32)
            for name, shape in network.shapes.items()
        }
        weights["context_levels"][:, 1] -= 1
        return weights

    return make


@pytest.fixture(scope="session")
def textbook():
    """The formulas of both machines in float64, by loops and NumPy."""

    def additive(x, coefficients, frequency):
        """The series of one layer, of x [positions, m]."""
        y = np.repeat(coefficients[:1], len(x), axis=0)
        row = 1
        for wave in (np.cos, np.sin):
            for f in range(1, frequency + 1):
                for i in range(x.shape[1]):
                    y = y + wave(2 * np.pi * f * x[:, i])[:, None] * coefficients[row]
                    row += 1
        assert row == len(coefficients)
        return y

    def layers(x, scales, first, last, frequency):
        hidden = additive(x * scales, first, frequency)
        return additive(hidden, np.concatenate([np.zeros_like(last[:1]), last]), frequency)

    class Textbook:
        @staticmethod
        def double(weights):
            return {name: np.asarray(array, np.float64) for name, array in weights.items()}

        @classmethod
        def draw(cls, weights, values):
            """[C, H, W] from the series' values [L, H, W]."""
            w = cls.double(weights)
            x = values.reshape(len(values), -1).T.astype(np.float64)
            y = layers(x, w["scales"], w["first"], w["last"], 2) + x @ w["linear"] + w["bias"]
            return y.T.reshape(-1, *values.shape[1:])

        @classmethod
        def predict(cls, weights, grids, neighbors, fineness):
            w = cls.double(weights)
            outputs = []
            for level, grid in enumerate(grids):
                height, width = grid.shape
                x = np.zeros((height * width, len(neighbors)))
                for place in range(height * width):
                    row, column = divmod(place, width)
                    for i, (dy, dx) in enumerate(neighbors):
                        at = row + dy, column + dx
                        if 0 <= at[0] < height and 0 <= at[1] < width:
                            x[place, i] = grid[at] / 2 ** fineness[level]
                y = layers(x, w["context_scales"], w["context_first"], w["context_last"], 1)
                y = y + x @ w["context_linear"] + w["context_levels"][level]
                y[:, 0] *= 2 ** fineness[level]
                y[:, 1] += fineness[level]
                outputs.append(y)
            return np.concatenate(outputs).T

    return Textbook
