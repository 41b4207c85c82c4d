"""How TensorBoard lays a run's curves out: charts by title, each with its tags.

Tags are regular expressions, which a curve's name begins with.
"""

from collections.abc import Mapping, Sequence

Charts = Mapping[str, Sequence[str]]

_QUALITY: Charts = {
    "PSNR of batches, dB": ["psnr"],
    "loss and its parts": ["loss", "mse", "penalty", "divergence"],
}
_SPEED: Charts = {
    "learning rates": ["learning_rate"],
    "examples per second": ["speed/examples_per_second"],
    "useful GFLOP/s": ["speed/useful_gigaflops"],
    "seconds since the entry before": ["seconds/"],
    "memory, GB": ["memory/gigabytes"],
}


def layout(observed: Charts) -> dict[str, Charts]:
    """The charts of a run by category; those of its observers are `observed`."""
    return {"how good": {**_QUALITY, **observed}, "how fast": _SPEED}
