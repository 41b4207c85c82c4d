"""What a generator shows of itself while it trains."""

from typing import ClassVar

import numpy as np
from ml_collections import ConfigDict

from dfm_flax.data.feed_choice import load_looked_at
from dfm_flax.figures.grids import image_grid
from dfm_flax.generation.drawing import encode
from dfm_flax.generation.inversion import invert
from dfm_flax.generation.observer import GeneratorSnapshot
from dfm_flax.generation.prior import find_prior
from dfm_flax.training.charts import Charts
from dfm_flax.training.observer import Observation, Observer

_SHOWN = 32  # images in a picture of reconstructions, and twice as many samples
_FITTED = 1_000  # images whose latents priors are fitted to
_PRIORS = ("normal", "gaussian", "gmm")  # one latent has a mean, and no covariance
_HELD_OUT = 1_000  # images; where their latents are searched for, a few:
_INVERTED = 64


class Reconstructions(Observer):
    """A picture: training images, each beside what the generator makes of it."""

    def __call__(self, snapshot: GeneratorSnapshot) -> Observation:
        """See `Observer`."""
        originals = snapshot.images[:_SHOWN] / np.float32(255)
        drawn = snapshot.draw(snapshot.latents(_FITTED)[:_SHOWN])
        pairs = np.concatenate([originals, drawn], axis=2)
        return Observation(figures={"reconstructions": image_grid(pairs, columns=4)})


class Samples(Observer):
    """Pictures: samples of each prior that is fitted in a second."""

    def __call__(self, snapshot: GeneratorSnapshot) -> Observation:
        """See `Observer`."""
        latents = snapshot.latents(_FITTED)
        figures = {}
        for name in _PRIORS if len(latents) > 1 else _PRIORS[:1]:
            samples = find_prior(name).fit(latents).sample(2 * _SHOWN, seed=0)
            figures[f"samples/{name}"] = image_grid(snapshot.draw(samples))
        return Observation(figures=figures)


class HeldOut(Observer):
    """A metric, held_out/mse, and a picture: images of the split test, which it never sees."""

    charts: ClassVar[Charts] = {"squared error of held-out images": ["held_out/mse"]}

    def __init__(self, config: ConfigDict):
        """Loads them."""
        super().__init__(config)
        self._images = load_looked_at(config.data, "test").images

    def __call__(self, snapshot: GeneratorSnapshot) -> Observation:
        """See `Observer`."""
        searched = snapshot.table is not None
        images = self._images[: _INVERTED if searched else _HELD_OUT] / np.float32(255)
        model, params = snapshot.model, snapshot.params
        if searched:
            known, penalty = snapshot.latents(_FITTED), self.config.loss.latent_penalty
            latents = invert(model, params, images, known, penalty)
        else:
            latents = encode(model, params, images)
        drawn = snapshot.draw(latents)
        pairs = np.concatenate([images[:_SHOWN], drawn[:_SHOWN]], axis=2)
        return Observation(
            {"held_out/mse": float(np.mean((drawn - images) ** 2))},
            {"held_out": image_grid(pairs, columns=4)},
        )
