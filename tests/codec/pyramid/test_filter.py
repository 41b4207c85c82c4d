import numpy as np
import pytest
import scipy.ndimage

from dfm_flax.codec.pyramid import kernels
from dfm_flax.codec.pyramid.filter import filtered


@pytest.mark.parametrize("by_kernels", [True, False])
@pytest.mark.parametrize("shape", [(3, 7, 9), (1, 1, 1), (3, 1, 5), (1, 4, 1)])
def test_a_correlation_that_goes_on_by_the_nearest_pixel(shape, by_kernels, monkeypatch):
    if by_kernels:
        assert kernels.chosen()  # a test machine must have a compiler
    else:
        monkeypatch.setattr(kernels, "chosen", lambda: False)
    rng = np.random.default_rng(0)
    picture = rng.normal(size=shape).astype(np.float32)
    weights = rng.normal(size=(shape[0], 3, 3, shape[0])).astype(np.float32)
    expected = [
        sum(
            scipy.ndimage.correlate(picture[c], weights[o, :, :, c], mode="nearest")
            for c in range(shape[0])
        )
        for o in range(shape[0])
    ]
    np.testing.assert_allclose(filtered(picture, weights), expected, atol=1e-5)
