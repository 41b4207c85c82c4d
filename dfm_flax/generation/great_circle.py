"""The way between two latents that keeps to where latents lie."""

import numpy as np
from jaxtyping import Float


def great_circle(
    first: Float[np.ndarray, "latent"], second: Float[np.ndarray, "latent"], num: int
) -> Float[np.ndarray, "{num} latent"]:
    """`num` points from one point to another at even angles and lengths."""
    fraction = np.linspace(0, 1, num)[:, None]
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    straight = (1 - fraction) * first + fraction * second
    if min(lengths) == 0:
        return straight
    a, b = first / lengths[0], second / lengths[1]
    angle = np.arccos(np.clip(a @ b, -1, 1))
    if np.sin(angle) < 1e-6:  # the same direction, or opposite ones: no circle, or all
        return straight
    direction = np.sin((1 - fraction) * angle) * a + np.sin(fraction * angle) * b
    return ((1 - fraction) * lengths[0] + fraction * lengths[1]) * direction / np.sin(angle)
