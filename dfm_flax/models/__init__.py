"""Networks: encoders, decoders, and machines from a config, drawn at any size."""
