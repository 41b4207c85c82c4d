"""Equal parts of a data set: several processes read a set faster than one."""

from dfm_flax.errors import UsageError


def bounds(total: int, part: tuple[int, int]) -> tuple[int, int]:
    """Where the i-th of n equal parts of `total` examples begins and ends; `part` is (i, n).

    Raises:
      UsageError: there are fewer examples than parts.
    """
    i, n = part
    if total < n:
        raise UsageError(f"{total} images cannot be shared out over {n} processes")
    return total * i // n, total * (i + 1) // n
