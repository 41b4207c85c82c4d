"""How far samples are from real images, while a generator trains."""

from typing import ClassVar

import numpy as np
from ml_collections import ConfigDict

from dfm_flax.data.feed_choice import load_looked_at
from dfm_flax.evaluation.classifier_features import classifier_features
from dfm_flax.generation.observer import GeneratorSnapshot
from dfm_flax.generation.priors.gaussian import Gaussian
from dfm_flax.metrics.generation import frechet_distance
from dfm_flax.training.charts import Charts
from dfm_flax.training.observer import Observation, Observer

_IMAGES = 2_000  # of each set: a few seconds, and comparable with itself only


class FrechetObserver(Observer):
    """A metric, frechet_classifier/gaussian: of 2,000 samples of the prior `gaussian`.

    The features are those of the data set's classifier, which is trained the first time (see
    `evaluation.classifier_features`). Few images make it larger than that of `dfm evaluate`.
    """

    charts: ClassVar[Charts] = {"Frechet distance of samples": ["frechet_"]}

    def __init__(self, config: ConfigDict) -> None:
        """Makes the classifier, and looks at real images."""
        super().__init__(config)
        train, test = (load_looked_at(config.data, split) for split in ("train", "test"))
        self._extractor = classifier_features(train, test)
        order = np.random.default_rng(0).permutation(len(train.images))
        self._real = self._extractor(train.images[order[:_IMAGES]]).activations

    def __call__(self, snapshot: GeneratorSnapshot) -> Observation:
        """See `Observer`."""
        prior = Gaussian.fit(snapshot.latents(len(snapshot.images)))
        images = snapshot.draw(prior.sample(len(self._real), seed=0))
        features = self._extractor(np.rint(255 * images).astype(np.uint8)).activations
        distance = frechet_distance(self._real, features)
        return Observation({"frechet_classifier/gaussian": distance})
