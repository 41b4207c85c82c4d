"""The training images of a run, as what its generated images are measured against."""

import functools
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from dfm_flax.errors import UsageError
from dfm_flax.evaluation.extractor import FeatureExtractor, Features, Images
from dfm_flax.evaluation.set_metrics import MIN_IMAGES, compare, disjoint_halves
from dfm_flax.metrics.neighbors import nearest_neighbors

_ASKED = 200  # images whose nearest training image is looked up

# Of each image its nearest others.
Neighbors = UInt8[np.ndarray, "asked neighbors height width channels"]


class RealImages:
    """Training images, and what is measured of them once for all runs on them.

    Attributes:
      images: all of them.
      extractor: of the features.
      seed: of all draws.
      reference, others: indices of two disjoint random sets of one size.
      looked_at: indices of those whose features are known: all, or if the extractor is slow
        just those two sets.
    """

    def __init__(self, images: Images, extractor: FeatureExtractor, num: int, seed: int) -> None:
        if len(images) < 2 * MIN_IMAGES:
            raise UsageError(f"{len(images)} training images are too few to evaluate on")
        self.images, self.extractor, self.seed = images, extractor, seed
        self.reference, self.others = disjoint_halves(len(images), num, seed)
        both = np.concatenate([self.reference, self.others])
        self.looked_at = both if extractor.slow else np.arange(len(images))

    @functools.cached_property
    def features(self) -> Features:
        """Of the images `looked_at`."""
        return self.extractor(self.images[self.looked_at], "training images")

    def compare(self, features: Features) -> dict[str, Any]:
        """The metrics of `set_metrics.compare` of some images against the reference."""
        reference = self._features_of(self.reference)
        metrics = compare(reference, features, self.extractor.name, self.seed)
        return {"images": len(features.activations), **metrics}

    @functools.cached_property
    def floor(self) -> dict[str, Any]:
        """The metrics of the other real images: no generator gets below, but by chance."""
        return self.compare(self._features_of(self.others))

    def nearest(
        self, images: Images, features: Features, k: int
    ) -> tuple[dict[str, float], dict[str, Neighbors]]:
        """How near images are to training images, by pixels and by features.

        The former are looked for among all training images, the latter among `looked_at`.

        Returns:
          The median distance of the first 200 to the nearest training image: of pixels the
          root mean square difference for intensities in [0, 1]; and the k nearest training
          images of each of them.
        """
        distances, neighbors = {}, {}
        for by, (queries, references, index, unit) in self._spaces(images, features).items():
            place, distance = nearest_neighbors(queries[:_ASKED], references, k)
            distances[by] = float(np.median(distance[:, 0])) / unit
            neighbors[by] = self.images[index[place]]
        return distances, neighbors

    @functools.cached_property
    def nearest_others(self) -> dict[str, float]:
        """The median distance of training images to the nearest other one, as in `nearest`."""
        some = self.reference[:_ASKED]
        distances = {}
        spaces = self._spaces(self.images[some], self._features_of(some))
        for by, (queries, references, _, unit) in spaces.items():
            distance = nearest_neighbors(queries, references, 2)[1]  # itself, then another
            distances[by] = float(np.median(distance[:, 1])) / unit
        return distances

    def _features_of(self, index: Int[np.ndarray, "some"]) -> Features:
        place = np.full(len(self.images), -1)
        place[self.looked_at] = np.arange(len(self.looked_at))
        return self.features[place[index]]

    def _spaces(self, images: Images, features: Features) -> dict[str, Any]:
        """By name: rows of images, rows and index of training images, unit of distance."""
        pixels, all_pixels = (array.reshape(len(array), -1) for array in (images, self.images))
        unit = 255 * float(np.sqrt(pixels.shape[1]))
        return {
            "pixels": (pixels, all_pixels, np.arange(len(all_pixels)), unit),
            "features": (features.activations, self.features.activations, self.looked_at, 1.0),
        }
