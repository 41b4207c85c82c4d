"""The parts of training an image generator: its model, its losses, its step."""
