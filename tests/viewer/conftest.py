from pathlib import Path

import pytest


@pytest.fixture
def golden():
    """A `.dfm` file of color, of narrowing layers."""
    return Path(__file__).parents[1] / "codec" / "golden_v2.dfm"
