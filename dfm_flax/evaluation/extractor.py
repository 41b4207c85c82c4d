"""A network that looks at images: its features of each, and its guess of the class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer, UInt8
from numpy.typing import ArrayLike
from tqdm import tqdm

Images = UInt8[np.ndarray, "images height width channels"]

# Maps images to activations [B, D] and probabilities [B, classes].
Look = Callable[[Images], tuple[ArrayLike, ArrayLike]]

_BAR_AFTER = 2  # seconds


@dataclass(frozen=True)
class Features:
    """What a network says of images.

    Attributes:
      activations: of its last hidden layer.
      probabilities: of each class.
    """

    activations: Float32[np.ndarray, "images features"]
    probabilities: Float32[np.ndarray, "images classes"]

    def __getitem__(self, index: Integer[np.ndarray, "some"] | slice) -> "Features":
        """Those of some of the images."""
        return Features(self.activations[index], self.probabilities[index])


@dataclass(frozen=True)
class FeatureExtractor:
    """A network of fixed weights, for images of any number.

    Attributes:
      name: what results are named after, such as 'classifier'.
      about: what identifies its weights, and how good it is, as JSON can hold it. Results
        of extractors that differ here cannot be compared.
      batch_size: images it looks at at once, at most.
      look: maps up to batch_size images to activations and probabilities.
      slow: whether looking at a whole data set takes long.
    """

    name: str
    about: dict[str, Any]
    batch_size: int
    look: Look
    slow: bool = False

    def __call__(self, images: Images, what: str = "images") -> Features:
        """The features of images; `what` they are stands at the progress bar."""
        activations, probabilities = [], []
        starts = range(0, len(images), self.batch_size)
        for start in tqdm(
            starts, f"features of {what}", delay=_BAR_AFTER, leave=False, disable=None
        ):
            first, second = self.look(images[start : start + self.batch_size])
            activations.append(np.asarray(first, np.float32))
            probabilities.append(np.asarray(second, np.float32))
        return Features(np.concatenate(activations), np.concatenate(probabilities))
