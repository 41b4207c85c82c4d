"""All metrics of one set of images against another, by the features of one network."""

import numpy as np
from jaxtyping import Int

from dfm_flax.evaluation.extractor import Features
from dfm_flax.metrics.generation import (
    frechet_distance,
    inception_score,
    kernel_inception_distance,
)
from dfm_flax.metrics.neighbors import precision_recall

_SUBSET = 1000  # images, and at most half of a set: the subsets have to differ
_SPLITS = 10

MIN_IMAGES = 2 * _SPLITS


def compare(real: Features, generated: Features, extractor: str, seed: int = 0) -> dict[str, float]:
    """Distances of generated from real images, and their score, named after the extractor.

    The keys are frechet_NAME, kernel_NAME and its deviation over subsets kernel_NAME_std,
    precision_NAME and recall_NAME (of 3 neighbors), score_NAME and score_NAME_std over 10
    splits. With the features of Inception they are what papers call FID, KID, precision and
    recall, and IS; with those of another network they have no other name.

    Args:
      real: of N images, at least 20.
      generated: of as many images, or the numbers do not compare.
      extractor: name of the network.
      seed: of the subsets of the kernel distance.
    """
    a, b = real.activations, generated.activations
    subset = min(_SUBSET, len(a) // 2, len(b) // 2)
    kernel = kernel_inception_distance(a, b, subset_size=subset, seed=seed)
    manifolds = precision_recall(a, b)
    score = inception_score(generated.probabilities, _SPLITS)
    return {
        f"frechet_{extractor}": frechet_distance(a, b),
        f"kernel_{extractor}": kernel.mean,
        f"kernel_{extractor}_std": kernel.std,
        f"precision_{extractor}": manifolds.precision,
        f"recall_{extractor}": manifolds.recall,
        f"score_{extractor}": score.mean,
        f"score_{extractor}_std": score.std,
    }


def disjoint_halves(
    count: int, num: int, seed: int = 0
) -> tuple[Int[np.ndarray, "half"], Int[np.ndarray, "half"]]:
    """Two disjoint random sets of `num` of `count` images; of half of them where that is less."""
    order = np.random.default_rng(seed).permutation(count)
    num = min(num, count // 2)
    return order[:num], order[num : 2 * num]
