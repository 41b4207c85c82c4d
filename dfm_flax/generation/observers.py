"""What a generator shows of itself while it trains."""

import numpy as np
from ml_collections import ConfigDict

from dfm_flax.data.feed_choice import load_looked_at
from dfm_flax.figures.grids import image_grid
from dfm_flax.generation.drawing import encode
from dfm_flax.generation.inversion import invert
from dfm_flax.generation.observer import GeneratorSnapshot
from dfm_flax.generation.priors.normal import Normal
from dfm_flax.training.observer import Observation, Observer

_SHOWN = 32  # images in a picture of reconstructions, and twice as many samples
_FITTED = 1_000  # images whose latents a prior is fitted to
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
    """A picture: samples of the prior `normal`."""

    def __call__(self, snapshot: GeneratorSnapshot) -> Observation:
        """See `Observer`."""
        prior = Normal.fit(snapshot.latents(_FITTED))
        samples = snapshot.draw(prior.sample(2 * _SHOWN, seed=0))
        return Observation(figures={"samples": image_grid(samples)})


class HeldOut(Observer):
    """A metric, held_out/mse, and a picture: images of the split test, which it never sees."""

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
