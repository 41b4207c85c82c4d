"""What a user trains for: each task joins a model, data and a loss with the train loop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["compress", "generate", "sampling"])
