"""TensorFlow's own notes and warnings, which say nothing to who uses it to read data."""

import os


def silence() -> None:
    """Keeps all but errors from the standard error, if called before TensorFlow is imported."""
    # JAX sets 1 when it is imported, which lets warnings through.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
