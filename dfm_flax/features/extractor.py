"""A network that looks at images: its features of each, and its guess of the class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

_BAR_AFTER = 2  # seconds


@dataclass(frozen=True)
class Features:
    """What a network says of N images.

    Attributes:
        activations: of its last hidden layer, float32 [N, D].
        probabilities: of each class, float32 [N, classes].
    """

    activations: NDArray[np.float32]
    probabilities: NDArray[np.float32]

    def __getitem__(self, index) -> "Features":
        """Those of some of the images."""
        return Features(self.activations[index], self.probabilities[index])


@dataclass(frozen=True)
class FeatureExtractor:
    """A network of fixed weights, for images of any number.

    Attributes:
        name: what results are named after, such as 'classifier'.
        about: what identifies its weights, and how good it is, as JSON can hold it. Results
            of extractors that differ here cannot be compared.
        batch_size: images it looks at at once.
        look: maps uint8 images [batch_size, H, W, C] to activations and probabilities.
    """

    name: str
    about: dict[str, Any]
    batch_size: int
    look: Callable[[NDArray[np.uint8]], tuple[ArrayLike, ArrayLike]]

    def __call__(self, images: NDArray[np.uint8], what: str = "images") -> Features:
        """The features of uint8 images [N, H, W, C]; `what` they are stands at the progress bar."""
        activations, probabilities = [], []
        starts = range(0, len(images), self.batch_size)
        for start in tqdm(starts, f"features of {what}", delay=_BAR_AFTER, leave=False):
            batch = images[start : start + self.batch_size]
            used = len(batch)
            # Batches of one size run one compiled program.
            batch = np.pad(batch, [(0, self.batch_size - used), (0, 0), (0, 0), (0, 0)])
            first, second = self.look(batch)
            activations.append(np.asarray(first, np.float32)[:used])
            probabilities.append(np.asarray(second, np.float32)[:used])
        return Features(np.concatenate(activations), np.concatenate(probabilities))
