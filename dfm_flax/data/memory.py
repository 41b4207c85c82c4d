"""Data sets are held in memory whole: those that would not fit are refused beforehand."""

import psutil

from dfm_flax.errors import UsageError


def check_fits(num_bytes: int, what: str) -> None:
    """Raises UsageError if `num_bytes` of `what` are more than the memory that is free."""
    free = psutil.virtual_memory().available
    if num_bytes > free:
        raise UsageError(
            f"{what} takes {num_bytes:,} bytes of memory and {free:,} are free; "
            "use a smaller size, or fewer images"
        )
